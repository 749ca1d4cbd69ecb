"""The two random image augmentations of the strong view."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from cfack.data.geometry import GREY, rotate, shear_x, shear_y, translate

RANDAUGMENT_OPS = 2
RANDAUGMENT_MAGNITUDE = 7 / 10
PUBLISHED_SIDE = 384
"""Side in pixels of the published square view, to which the published translation refers."""

_ENHANCE = 0.1 + 1.8 * RANDAUGMENT_MAGNITUDE
_SHEAR = 0.3 * RANDAUGMENT_MAGNITUDE
_TRANSLATE = 10 * RANDAUGMENT_MAGNITUDE / PUBLISHED_SIDE
_DEGREES = 30 * RANDAUGMENT_MAGNITUDE

Operation = Callable[[Image.Image, np.random.Generator], Image.Image]


def rand_augment(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Two of ten operations, drawn with replacement, each applied with probability 0.5; magnitude 7 of 10.

    Geometry is that of the published square view, whatever the size and aspect of this one: a movement by
    7 of 384 pixels is the same share of the side (whole pixels, at least one), and shear and rotation are
    squashed with the picture. At 384 x 384 the numbers are the published ones.
    """
    for _ in range(RANDAUGMENT_OPS):
        operation = _RANDAUGMENT[rng.integers(len(_RANDAUGMENT))]
        if rng.random() < 0.5:
            image = operation(image, rng)
    return image


def uniform_augment(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Two of fifteen operations, drawn with replacement, magnitudes uniform over their whole range.

    Each is applied with a probability that is itself drawn uniformly (UniformAugment, arXiv 2003.14348). For
    the image at its original size, before it is resized.
    """
    for _ in range(2):
        operation, low, high = _UNIFORM[rng.integers(len(_UNIFORM))]
        if rng.random() < rng.random():
            image = operation(image, rng.uniform(low, high), rng)
    return image


def _sign(rng: np.random.Generator) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


def _whole(share: float, side: int) -> int:
    return max(1, round(share * side))


_RANDAUGMENT: tuple[Operation, ...] = (
    lambda image, rng: image,
    lambda image, rng: ImageOps.autocontrast(image),
    lambda image, rng: ImageOps.equalize(image),
    lambda image, rng: ImageEnhance.Brightness(image).enhance(_ENHANCE),
    lambda image, rng: ImageEnhance.Sharpness(image).enhance(_ENHANCE),
    lambda image, rng: shear_x(image, _sign(rng) * _SHEAR * image.width / image.height),
    lambda image, rng: shear_y(image, _sign(rng) * _SHEAR * image.height / image.width),
    lambda image, rng: translate(image, _sign(rng) * _whole(_TRANSLATE, image.width), 0),
    lambda image, rng: translate(image, 0, _sign(rng) * _whole(_TRANSLATE, image.height)),
    lambda image, rng: rotate(image, _sign(rng) * _DEGREES, image.width / image.height),
)


def _cut_out(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """Cover a square of `share` of the width, centred anywhere, with grey."""
    side = share * image.width
    left, top = rng.random() * image.width - side / 2, rng.random() * image.height - side / 2
    image = image.copy()
    ImageDraw.Draw(image).rectangle((left, top, left + side, top + side), fill=GREY)
    return image


_UNIFORM: tuple[
    tuple[Callable[[Image.Image, float, np.random.Generator], Image.Image], float, float], ...
] = (
    (lambda image, value, rng: shear_x(image, value), -0.3, 0.3),
    (lambda image, value, rng: shear_y(image, value), -0.3, 0.3),
    (lambda image, value, rng: translate(image, value * image.width, 0), -0.45, 0.45),
    (lambda image, value, rng: translate(image, 0, value * image.height), -0.45, 0.45),
    (lambda image, value, rng: rotate(image, value), -30, 30),
    (lambda image, value, rng: ImageOps.autocontrast(image), 0, 1),
    (lambda image, value, rng: ImageOps.invert(image), 0, 1),
    (lambda image, value, rng: ImageOps.equalize(image), 0, 1),
    (lambda image, value, rng: ImageOps.solarize(image, int(value)), 0, 256),
    (lambda image, value, rng: ImageOps.posterize(image, int(value)), 4, 8),
    (lambda image, value, rng: ImageEnhance.Contrast(image).enhance(value), 0.1, 1.9),
    (lambda image, value, rng: ImageEnhance.Color(image).enhance(value), 0.1, 1.9),
    (lambda image, value, rng: ImageEnhance.Brightness(image).enhance(value), 0.1, 1.9),
    (lambda image, value, rng: ImageEnhance.Sharpness(image).enhance(value), 0.1, 1.9),
    (_cut_out, 0.0, 0.2),
)
