"""What the encoders return, and the pixel normalisation in front of the vision encoder."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cfack_runtime.images import PIXEL_MEAN, PIXEL_STD


class ImageFeatures(NamedTuple):
    """Images as the model sees them."""

    tokens: Tensor
    """(B, 1+N, C): the mean token, then the N patch tokens."""
    embedding: Tensor
    """(B, D) float32, L2-normalised."""


class TextFeatures(NamedTuple):
    """Captions as the model sees them."""

    tokens: Tensor
    """(B, T, C); token 0 is [CLS]."""
    embedding: Tensor
    """(B, D) float32, L2-normalised."""


def normalize_pixels(pixels: Tensor) -> Tensor:
    """Scale and normalise resized RGB images for the vision encoder.

    Args:
        pixels: uint8 (B, H, W, 3), as `cfack_runtime.images.load_image` gives them, stacked.

    Returns:
        float32 (B, 3, H, W): `(pixels / 255 - mean) / std` per channel.
    """
    mean = torch.tensor(PIXEL_MEAN, dtype=torch.float32, device=pixels.device)
    std = torch.tensor(PIXEL_STD, dtype=torch.float32, device=pixels.device)
    return ((pixels.float() / 255.0 - mean) / std).permute(0, 3, 1, 2)  # (B, 3, H, W)
