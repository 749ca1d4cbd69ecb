"""The views of an image: evaluation, weak, strong and CNN; uint8 pixels, normalised batch by batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cfack.config import AugmentConfig
from cfack.data.augmentations import rand_augment, uniform_augment
from cfack.data.erasing import Box, draw_erased_box
from cfack_runtime.images import resize_image

CROP_SHARE = 0.875
"""Side of the released centre crop by the shorter side of the resized image (224 of 256)."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class StrongView:
    """The strong view of an image."""

    pixels: Pixels
    """(H, W, 3)."""
    erased: Box | None
    """Becomes 0 once the view is normalised."""


def eval_view(image: Image.Image, height: int, width: int) -> Pixels:
    """The whole image squashed to (H, W, 3), as in evaluation and search; never flipped."""
    return resize_image(image, height, width)


def weak_view(pixels: Pixels, augment: AugmentConfig, rng: np.random.Generator) -> Pixels:
    """The evaluation view (H, W, 3), with `augment.weak = "flip"` mirrored by chance."""
    return _maybe_flip(pixels, augment, rng) if augment.weak == "flip" else pixels


def strong_view(
    pixels: Pixels, original: Image.Image | None, augment: AugmentConfig, rng: np.random.Generator
) -> StrongView:
    """Flip, augment and erase.

    Args:
        pixels: the evaluation view (H, W, 3).
        original: the image at its own size, which `augment.strong = "uniform"` starts from.
        augment: names the augmentation and the probabilities.
        rng: decides.
    """
    height, width = pixels.shape[:2]
    if augment.strong == "uniform":
        assert original is not None, "UniformAugment starts from the original image"
        pixels = resize_image(uniform_augment(original, rng), height, width)
        pixels = _maybe_flip(pixels, augment, rng)
    else:
        pixels = _maybe_flip(pixels, augment, rng)
        if augment.strong == "randaugment":
            pixels = np.asarray(rand_augment(Image.fromarray(pixels), rng))
    return StrongView(pixels, draw_erased_box(height, width, augment.erasing_probability, rng))


def cnn_view(image: Image.Image, height: int, width: int, *, centre_crop: bool = False) -> Pixels:
    """The view of the CNN branch (height, width, 3).

    Args:
        image: at its original size.
        height: in pixels.
        width: in pixels.
        centre_crop: as released (O12): the smallest resize that keeps the aspect and covers the view with a
            margin of 1/8, then its centre, which leaves out a standing person's head and legs. Otherwise the
            whole image, squashed.
    """
    if not centre_crop:
        return resize_image(image, height, width)
    scale = max(height / image.height, width / image.width) / CROP_SHARE
    resized = resize_image(image, round(scale * image.height), round(scale * image.width))
    top, left = round((resized.shape[0] - height) / 2), round((resized.shape[1] - width) / 2)
    return np.ascontiguousarray(resized[top : top + height, left : left + width])


def _maybe_flip(pixels: Pixels, augment: AugmentConfig, rng: np.random.Generator) -> Pixels:
    if rng.random() < augment.flip_probability:
        return np.ascontiguousarray(pixels[:, ::-1])
    return pixels
