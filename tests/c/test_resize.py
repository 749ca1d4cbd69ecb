"""Resizing in C against Python's definition: the same pixels, bit for bit."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cfack_runtime.images import load_image, resize_image

sys.path.insert(0, str(Path(__file__).parent))
from image_files import encoded, exif_block, noise

INVALID = -1


@pytest.fixture(scope="module")
def program(text_image_build):
    return text_image_build / "image_stdio"


def resize_case(pixels, height, width, stride=None):
    rows, columns = pixels.shape[:2]
    stride = 3 * columns if stride is None else stride
    padded = np.full((rows, stride), 0xAB, np.uint8)
    padded[:, : 3 * columns] = pixels.reshape(rows, 3 * columns)
    return struct.pack("<5i", columns, rows, stride, width, height) + padded.tobytes()


def test_resized_pixels_are_pythons_at_every_size(program, answers):
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


def test_sizes_that_cannot_be_resized_are_refused(program, answers):
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


def test_loading_decodes_and_resizes(program, answers, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(Image.fromarray(noise(90, 40)), "JPEG", exif=exif_block(b"\6\0")))
    ((status, pixels),) = answers(program, ["load", 96, 32], [path.read_bytes()])
    assert (status, pixels) == (0, load_image(path, 96, 32).tobytes())
