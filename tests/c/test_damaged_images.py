"""Files that are cut, damaged, too large or of another kind: refused by C as by Python."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cfack_runtime.errors import ImageError
from cfack_runtime.images import decode_image

sys.path.insert(0, str(Path(__file__).parent))
from image_files import chunk, encoded, noise, png

IMAGE_ERROR = -3


@pytest.fixture(scope="module")
def program(text_image_build):
    return text_image_build / "image_stdio"


def test_truncated_files_are_errors_on_both_sides(same_as_python):
    image = Image.fromarray(noise(24, 24))
    files = []
    for data in (
        encoded(image),
        encoded(image, "JPEG"),
        encoded(image, "JPEG", progressive=True),
        png(8, 3, 9, 9, interlaced=True),
    ):
        files += [data[:size] for size in range(0, len(data), max(1, len(data) // 150))]
    assert same_as_python(files) < len(files) / 20


def test_an_image_that_would_fill_the_memory_is_refused_by_its_header(program, answers):
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
def test_other_kinds_are_refused_by_name(program, answers, kind, message):
    data = encoded(Image.new("RGB", (4, 4)), kind) if kind else b"no image"
    ((status, answer),) = answers(program, ["decode"], [data])
    assert (status, answer.decode()) == (IMAGE_ERROR, "a file: " + message)


def test_damaged_files_give_pythons_pixels_or_an_error(program, answers):
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
