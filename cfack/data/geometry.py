"""Affine operations on a PIL image: bilinear, what comes from outside is grey."""

from __future__ import annotations

import math

from PIL import Image

GREY = (128, 128, 128)


def shear_x(image: Image.Image, factor: float) -> Image.Image:
    """Move each row sideways by `factor` times its distance from the top."""
    return _affine(image, 1, factor, 0, 0, 1, 0)


def shear_y(image: Image.Image, factor: float) -> Image.Image:
    """Move each column down by `factor` times its distance from the left."""
    return _affine(image, 1, 0, 0, factor, 1, 0)


def translate(image: Image.Image, right: float, down: float) -> Image.Image:
    """Move an image by pixels."""
    return _affine(image, 1, 0, -right, 0, 1, -down)


def rotate(image: Image.Image, degrees: float, stretch: float = 1.0) -> Image.Image:
    """Rotate about the centre.

    Args:
        image: of any size.
        degrees: to the left, seen by the viewer.
        stretch: width by height of a pixel of a picture that was squashed from a square one; the rotation is
            the one of the square picture. 1 rotates the picture as it is.
    """
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = image.width / 2, image.height / 2
    across, down = -sin * stretch, sin / stretch
    return _affine(image, cos, across, x - cos * x - across * y, down, cos, y - down * x - cos * y)


def _affine(image: Image.Image, *coefficients: float) -> Image.Image:
    """Fill pixel (x, y) from (ax + by + c, dx + ey + f) for coefficients a to f."""
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        coefficients,
        resample=Image.Resampling.BILINEAR,
        fillcolor=GREY,
    )
