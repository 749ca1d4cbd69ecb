"""Cameras: where they hang, how they colour, blur and grain a picture, and how it is compressed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from cfack.data.synthesize.randomness import stream
from cfack.data.synthesize.scenery import PAINTERS, paint_place

if TYPE_CHECKING:
    import random

CAMERAS = 12


@dataclass(frozen=True)
class Camera:
    """One camera of the world of a seed.

    Attributes:
        place: What it looks at, a key of `scenery.PAINTERS`.
        gains: Its colour cast, percent per channel.
        exposure: Its brightness in percent.
        softness: Standard deviation of its blur in pixels of an image 192 pixels tall.
        grain: Standard deviation of its noise in grey levels.
        quality: Lowest and highest JPEG quality.
    """

    number: int
    place: str
    gains: tuple[int, int, int]
    exposure: int
    softness: float
    grain: int
    quality: tuple[int, int]


@lru_cache(maxsize=64)
def camera_of(seed: int, number: int) -> Camera:
    """Camera `number` of the world of `seed`."""
    rng = stream("camera", seed, number)
    low = rng.randint(52, 80)
    kinds = list(PAINTERS)
    return Camera(
        number=number,
        # Every kind of place is seen before one comes a second time.
        place=kinds[(number + stream("places", seed).randrange(len(kinds))) % len(kinds)],
        gains=(rng.randint(94, 106), rng.randint(97, 103), rng.randint(93, 106)),
        exposure=rng.randint(86, 112),
        softness=rng.uniform(0.2, 0.8),
        grain=rng.randint(2, 6),
        quality=(low, min(95, low + 20)),
    )


@lru_cache(maxsize=CAMERAS)
def place_of(seed: int, number: int, height: int) -> Image.Image:
    """The picture of what a camera sees without people; kept because thousands of images share it."""
    return paint_place(camera_of(seed, number).place, seed, number, height)


def expose(image: Image.Image, camera: Camera, rng: random.Random) -> Image.Image:
    """What the sensor makes of a clean picture: cast, light of the moment, blur, noise."""
    light = camera.exposure + rng.randint(-12, 12)
    contrast = rng.randint(86, 108)
    table: list[int] = []
    for gain in camera.gains:
        for value in range(256):
            lit = value * gain * light // 10_000
            table.append(max(0, min(255, (lit - 118) * contrast // 100 + 118)))
    softness = (camera.softness + rng.uniform(0.0, 0.4)) * image.height / 192
    blurred = image.filter(ImageFilter.GaussianBlur(softness)).point(table)
    return _grained(blurred, camera.grain, rng.getrandbits(64))


def _grained(image: Image.Image, grain: int, seed: int) -> Image.Image:
    """Add noise that sums three uniform draws: nearly normal, in whole numbers, the same everywhere."""
    generator = np.random.Generator(np.random.PCG64(seed))
    pixels = np.asarray(image, dtype=np.int16)
    # The standard deviation of three draws from -64..64 is 64.5.
    draws = generator.integers(-64, 65, (3, *pixels.shape), dtype=np.int16).sum(axis=0, dtype=np.int16)
    return Image.fromarray(np.clip(pixels + draws * grain // 64, 0, 255).astype(np.uint8))


def compress(image: Image.Image, camera: Camera, rng: random.Random, suffix: str) -> bytes:
    """The bytes of the image file: JPEG, or, for ".png", a PNG of an image that was JPEG once."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=rng.randint(*camera.quality))
    if suffix != ".png":
        return buffer.getvalue()
    lossless = BytesIO()
    with Image.open(buffer) as decoded:
        decoded.convert("RGB").save(lossless, "PNG", compress_level=3)
    return lossless.getvalue()
