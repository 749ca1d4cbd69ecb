"""Image files of every kind, made in memory."""

import io
import struct
import zlib

import numpy as np


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise(height, width, channels=3, seed=0, dtype=np.uint8):
    """Blurred noise: it has edges and gradients, so that JPEG's upsampling matters."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    generator = np.random.default_rng(seed)
    return generator.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(bits, color, width, height, *, interlaced=False, extra=b"", seed=0):
    """A PNG of random bytes: every filter type, every bit depth, also the ones Pillow cannot write."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    generator = np.random.default_rng(seed)
    passes = (
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
        if interlaced
        else [(0, 0, 1, 1)]
    )
    rows = b""
    for left, top, right, down in passes:
        columns, lines = -(-(width - left) // right), -(-(height - top) // down)
        if columns > 0 and lines > 0:
            size = (columns * samples * bits + 7) // 8
            for line in range(lines):
                rows += bytes([line % 5]) + generator.integers(0, 256, size, dtype=np.uint8).tobytes()
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(range(3 * min(2**bits, 256)))[: 3 * 2**bits] if bits < 8 else bytes(768))
    if color == 3 and bits == 8:
        palette = chunk(b"PLTE", generator.integers(0, 256, 768, dtype=np.uint8).tobytes())
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + (palette if color == 3 else b"") + extra
        + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )  # fmt: skip


def exif_block(value, kind=3, count=1, *, order="<", tag=0x0112):
    entry = struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")[:4]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return b"Exif\0\0" + head + struct.pack(order + "H", 1) + entry + bytes(4)
