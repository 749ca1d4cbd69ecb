"""The C library's images against Python's: the same pixels, bit for bit."""

import io
import os
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cfack_runtime.errors import ImageError
from cfack_runtime.images import decode_image, load_image, resize_image

PROJECT = Path(__file__).parents[2] / "runtime" / "c" / "tests" / "text_image"
IMAGE_ERROR, INVALID = -3, -1


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Builds the program that runs the C modules on cases from stdin."""
    if not (shutil.which("cmake") and shutil.which("c++")):
        pytest.skip("CMake or a C++ compiler is not installed")
    if given := os.environ.get("CFACK_TEXT_IMAGE_BUILD"):  # built by hand, with sanitizers say
        return Path(given) / "image_stdio"
    if given := os.environ.get("CFACK_C_BUILD"):  # of the whole library
        return Path(given) / "tests" / "image_stdio"
    build = tmp_path_factory.mktemp("text_image")
    subprocess.run(["cmake", "-S", PROJECT, "-B", build], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(
        ["cmake", "--build", build, "--target", "image_stdio"], check=True, stdout=subprocess.DEVNULL
    )
    return build / "image_stdio"


def answers(program, arguments, cases):
    """Status and bytes of each case."""
    data = b"".join(struct.pack("<I", len(case)) + case for case in cases)
    out = subprocess.run(
        [program, *map(str, arguments)], input=data, stdout=subprocess.PIPE, check=True
    ).stdout
    found, at = [], 0
    while at < len(out):
        status, size = struct.unpack_from("<iI", out, at)
        found.append((status, out[at + 8 : at + 8 + size]))
        at += 8 + size
    assert len(found) == len(cases)
    return found


def same_as_python(program, files):
    """Decode all files on both sides; errors are errors on both. Returns how many had pixels."""
    decoded = 0
    for data, (status, answer) in zip(files, answers(program, ["decode"], files), strict=True):
        try:
            expected = np.asarray(decode_image(data))
        except ImageError:
            expected = None
        if expected is None:
            assert status == IMAGE_ERROR, "C reads what Python refuses"
            continue
        assert status == 0, f"C refuses what Python reads: {answer.decode()}"
        width, height = struct.unpack_from("<ii", answer)
        pixels = np.frombuffer(answer[8:], np.uint8).reshape(height, width, 3)
        assert np.array_equal(pixels, expected)
        decoded += 1
    return decoded


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


PNG_KINDS = [(b, 0) for b in (1, 2, 4, 8, 16)] + [(b, 3) for b in (1, 2, 4, 8)]
PNG_KINDS += [(b, c) for b in (8, 16) for c in (2, 4, 6)]


def test_every_kind_of_png_gives_pythons_pixels(program):
    sizes = [(1, 1), (2, 3), (7, 9), (33, 17)]
    files = [
        png(bits, color, width, height, interlaced=interlaced)
        for bits, color in PNG_KINDS
        for width, height in sizes
        for interlaced in (False, True)
    ]
    assert same_as_python(program, files) == len(files)


def test_transparency_is_dropped_as_in_python(program):
    files = [
        png(8, 3, 9, 9, extra=chunk(b"tRNS", b"\xff\x00\x80")),
        png(8, 2, 9, 9, extra=chunk(b"tRNS", bytes(6))),
        png(4, 0, 9, 9, extra=chunk(b"tRNS", b"\0\7")),
        encoded(Image.fromarray(noise(9, 9, 4), "RGBA")),
    ]
    assert same_as_python(program, files) == len(files)


def test_colour_chunks_change_nothing(program):
    extra = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sRGB", b"\0") + chunk(b"sBIT", b"\5\5\5")
    files = [png(8, 2, 9, 9, extra=extra), png(16, 2, 9, 9, extra=extra)]
    assert same_as_python(program, files) == len(files)


def test_every_kind_of_jpeg_gives_pythons_pixels(program):
    smooth = Image.fromarray(noise(12, 16)).resize((131, 77), Image.Resampling.BICUBIC)
    files = []
    for mode in ("RGB", "L", "CMYK"):
        image = smooth.convert(mode)
        for quality in (30, 95):
            for progressive in (False, True):
                files.append(encoded(image, "JPEG", quality=quality, progressive=progressive))
        files += [encoded(image, "JPEG", subsampling=s) for s in (0, 1, 2)] if mode == "RGB" else []
    files += [encoded(smooth, "JPEG", restart_marker_rows=1), encoded(smooth, "JPEG", keep_rgb=True)]
    for size in [(1, 1), (1, 40), (40, 1), (8, 8), (17, 15)]:
        files.append(encoded(smooth.resize(size), "JPEG"))
    # Four inks with Adobe's marker changed: straight CMYK, YCCK, no marker at all.
    inks = encoded(smooth.convert("CMYK"), "JPEG")
    at = inks.index(b"Adobe")
    files += [inks[: at + 11] + bytes([transform]) + inks[at + 12 :] for transform in (0, 1, 2)]
    files.append(inks[: at - 4] + inks[at - 4 + 16 :])
    assert same_as_python(program, files) == len(files)


def exif_block(value, kind=3, count=1, *, order="<", tag=0x0112):
    entry = struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")[:4]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return b"Exif\0\0" + head + struct.pack(order + "H", 1) + entry + bytes(4)


@pytest.mark.filterwarnings("ignore")
def test_images_lying_on_their_side_are_put_upright_as_in_python(program):
    image = Image.fromarray(noise(5, 9))
    blocks = [
        exif_block(struct.pack(order + "H", value), order=order) for value in range(11) for order in "<>"
    ]
    blocks += [
        exif_block(struct.pack("<I", 6), 4),
        exif_block(b"\6", 1),
        exif_block(b"\6", 6),
        exif_block(b"6", 2),
        exif_block(b"\6\0\3\0", 3, 2),
        exif_block(struct.pack("<f", 6.0), 11),
        exif_block(struct.pack("<f", 6.5), 11),
        exif_block(struct.pack("<I", 6), 99),
        exif_block(struct.pack("<H", 6), 3, 0),
        exif_block(struct.pack("<H", 6), 3, 2**31),
        exif_block(struct.pack("<I", 10), 3, 4),
        exif_block(struct.pack("<I", 10), 5),
        b"Exif\0\0" + exif_block(b"\6"),
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0XX*\0\x08\0\0\0",
        b"Exif\0\0II",
        b"Exif\0\0",
    ]
    files = [encoded(image, "JPEG", exif=block) for block in blocks]
    files += [encoded(image, exif=block) for block in blocks]
    xmp = b'<rdf:Description tiff:Orientation="6"/>'
    files.append(encoded(image, "JPEG", xmp=xmp))
    files.append(encoded(image, "JPEG", xmp=xmp, exif=exif_block(b"\3\0")))
    files.append(encoded(image, "JPEG", xmp=xmp, exif=exif_block(b"\3\0", tag=0x0113)))
    files.append(encoded(image, "JPEG", xmp=xmp, exif=b"Exif\0\0XX*\0\x08\0\0\0"))
    raw = exif_block(b"\6\0").hex().encode()
    texts = [
        (b"eXIf", exif_block(b"\6\0")[6:]),
        (b"tEXt", b"XML:com.adobe.xmp\0" + xmp),
        (b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(xmp)),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp)),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0\xff" + xmp),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0tiff:Orientation>8<"),
        (b"tEXt", b"Raw profile type exif\0\nexif\n  40\n" + raw[:20] + b"\n" + raw[20:]),
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n  40\n" + raw)),
        (b"tEXt", b"Raw profile type exif\0\nexif\n  40\n" + raw[:-1]),
        (b"zTXt", b"Raw profile type exif\0\0not zlib"),
        (b"tEXt", b"exif\0" + exif_block(b"\6\0")),
        (b"zTXt", b"exif\0\0" + zlib.compress(exif_block(b"\6\0"))),
    ]
    plain = png(8, 2, 9, 5)
    for kind, data in texts:
        files.append(png(8, 2, 9, 5, extra=chunk(kind, data)))
        files.append(plain[:-12] + chunk(kind, data) + plain[-12:])  # after the pixels
    assert same_as_python(program, files) == len(files)


def test_truncated_files_are_errors_on_both_sides(program):
    image = Image.fromarray(noise(24, 24))
    files = []
    for data in (
        encoded(image),
        encoded(image, "JPEG"),
        encoded(image, "JPEG", progressive=True),
        png(8, 3, 9, 9, interlaced=True),
    ):
        files += [data[:size] for size in range(0, len(data), max(1, len(data) // 150))]
    assert same_as_python(program, files) < len(files) / 20


def test_an_image_that_would_fill_the_memory_is_refused_by_its_header(program):
    jpeg = bytearray(encoded(Image.new("RGB", (8, 8)), "JPEG"))
    frame = jpeg.index(b"\xff\xc0") + 5
    jpeg[frame : frame + 4] = struct.pack(">HH", 65_000, 65_000)
    files = [bytes(jpeg)]
    for size in [(30_000, 30_000), (80_000_000, 1), (1, 70_000), (2**31, 2**31)]:
        header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
        files.append(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x"))
    for status, answer in answers(program, ["decode"], files):
        assert status == IMAGE_ERROR
        assert answer.startswith(b"a file: too large to decode safely: ")
        assert answer.endswith(b"At most 89478485 pixels and 65535 a side are read; make it smaller first")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("BMP", "is a BMP image; JPEG and PNG are supported, convert it"),
        ("WEBP", "is a WebP image; JPEG and PNG are supported, convert it"),
        ("GIF", "is a GIF image; JPEG and PNG are supported, convert it"),
        ("TIFF", "is a TIFF image; JPEG and PNG are supported, convert it"),
        (None, "not a JPEG or PNG image"),
    ],
)
def test_other_kinds_are_refused_by_name(program, kind, message):
    data = encoded(Image.new("RGB", (4, 4)), kind) if kind else b"no image"
    ((status, answer),) = answers(program, ["decode"], [data])
    assert (status, answer.decode()) == (IMAGE_ERROR, "a file: " + message)


def test_damaged_files_give_pythons_pixels_or_an_error(program):
    """Where both read a damaged file, they see the same. Which of them refuses may differ."""
    generator = np.random.default_rng(5)
    smooth = Image.fromarray(noise(6, 8)).resize((48, 40), Image.Resampling.BICUBIC)
    originals = [
        encoded(smooth),
        encoded(smooth, "JPEG"),
        encoded(smooth, "JPEG", progressive=True),
        png(4, 3, 30, 30),
    ]
    files = []
    for data in originals:
        for _ in range(200):
            damaged = bytearray(data)
            for place in generator.integers(0, len(data), generator.integers(1, 4)):
                damaged[place] = generator.integers(0, 256)
            files.append(bytes(damaged))
    read_by_both = 0
    for data, (status, answer) in zip(files, answers(program, ["decode"], files), strict=True):
        try:
            expected = np.asarray(decode_image(data))
        except ImageError:
            continue
        if status == 0:
            width, height = struct.unpack_from("<ii", answer)
            assert np.array_equal(np.frombuffer(answer[8:], np.uint8).reshape(height, width, 3), expected)
            read_by_both += 1
    assert read_by_both > 100


def resize_case(pixels, height, width, stride=None):
    rows, columns = pixels.shape[:2]
    stride = 3 * columns if stride is None else stride
    padded = np.full((rows, stride), 0xAB, np.uint8)
    padded[:, : 3 * columns] = pixels.reshape(rows, 3 * columns)
    return struct.pack("<5i", columns, rows, stride, width, height) + padded.tobytes()


def test_resized_pixels_are_pythons_at_every_size(program):
    generator = np.random.default_rng(1)
    sizes = [(1, 1), (1, 384), (384, 1), (2, 65_535), (65_535, 2), (384, 384), (1080, 1920), (3, 5000)]
    sizes += [tuple(int(side) for side in generator.integers(1, 400, 2)) for _ in range(150)]
    cases, expected = [], []
    for seed, (height, width) in enumerate(sizes):
        pixels = noise(height, width, seed=seed)
        if seed % 3 == 0:  # the extremes overshoot, and are cut at 0 and 255
            pixels = np.where(pixels > 127, 255, 0).astype(np.uint8)
        for out in [
            (384, 384),
            (1, 1),
            tuple(int(side) for side in generator.integers(1, 300, 2)),
            (height, 7),
        ]:
            if seed > 20 and out == (384, 384):
                continue
            cases.append(resize_case(pixels, *out, stride=3 * width + seed % 5))
            expected.append(resize_image(Image.fromarray(pixels), *out).tobytes())
    assert answers(program, ["resize"], cases) == [(0, pixels) for pixels in expected]


def test_sizes_that_cannot_be_resized_are_refused(program):
    cases = [
        struct.pack("<5i", 0, 1, 3, 1, 1),
        struct.pack("<5i", 65_536, 1, 3 * 65_536, 1, 1),
        struct.pack("<5i", 10_000, 10_000, 30_000, 1, 1),
        struct.pack("<5i", 1, 1, 3, 0, 1),
        struct.pack("<5i", 2, 1, 5, 1, 1),
    ]
    found = answers(program, ["resize"], cases)
    assert [status for status, _ in found] == [INVALID] * 5
    assert found[0][1] == (
        b"an image of 0 x 1 pixels cannot be resized; at most 89478485 pixels and 65535 a side are taken"
    )
    assert found[3][1] == b"cannot resize to 0 x 1 pixels; 1 to 65535 a side are possible"
    assert found[4][1] == b"rows are 5 bytes apart; 2 RGB pixels take 6"


def test_loading_decodes_and_resizes(program, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(Image.fromarray(noise(90, 40)), "JPEG", exif=exif_block(b"\6\0")))
    ((status, pixels),) = answers(program, ["load", 96, 32], [path.read_bytes()])
    assert (status, pixels) == (0, load_image(path, 96, 32).tobytes())
