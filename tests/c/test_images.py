"""The C library's images against Python's: the same pixels, bit for bit, of every kind of file."""

import struct
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from image_files import chunk, encoded, exif_block, noise, png

PNG_KINDS = [(b, 0) for b in (1, 2, 4, 8, 16)] + [(b, 3) for b in (1, 2, 4, 8)]
PNG_KINDS += [(b, c) for b in (8, 16) for c in (2, 4, 6)]


def test_every_kind_of_png_gives_pythons_pixels(same_as_python):
    sizes = [(1, 1), (2, 3), (7, 9), (33, 17)]
    files = [
        png(bits, color, width, height, interlaced=interlaced)
        for bits, color in PNG_KINDS
        for width, height in sizes
        for interlaced in (False, True)
    ]
    assert same_as_python(files) == len(files)


def test_transparency_is_dropped_as_in_python(same_as_python):
    files = [
        png(8, 3, 9, 9, extra=chunk(b"tRNS", b"\xff\x00\x80")),
        png(8, 2, 9, 9, extra=chunk(b"tRNS", bytes(6))),
        png(4, 0, 9, 9, extra=chunk(b"tRNS", b"\0\7")),
        encoded(Image.fromarray(noise(9, 9, 4), "RGBA")),
    ]
    assert same_as_python(files) == len(files)


def test_colour_chunks_change_nothing(same_as_python):
    extra = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sRGB", b"\0") + chunk(b"sBIT", b"\5\5\5")
    files = [png(8, 2, 9, 9, extra=extra), png(16, 2, 9, 9, extra=extra)]
    assert same_as_python(files) == len(files)


def test_every_kind_of_jpeg_gives_pythons_pixels(same_as_python):
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
    assert same_as_python(files) == len(files)


@pytest.mark.filterwarnings("ignore")
def test_images_lying_on_their_side_are_put_upright_as_in_python(same_as_python):
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
    assert same_as_python(files) == len(files)
