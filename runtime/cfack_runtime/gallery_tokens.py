"""Image tokens in 8 bits, with a scale for each token.

Shapes: K images, N patches, C token width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cfack_runtime.errors import UsageError

LARGEST = 127
"""-128 is not used, so that a number and its opposite are equally well kept."""


def quantize_tokens(tokens: NDArray[np.floating[Any]]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Write each token as whole numbers from -127 to 127 and one scale: token = numbers * scale.

    The scale is the token's largest magnitude / 127; halves are rounded to even.

    Args:
        tokens: (..., C), finite.

    Returns:
        Numbers (..., C) and scales (...). A token of zeros has scale 0.

    Raises:
        UsageError: a token is not finite.
    """
    wide = np.asarray(tokens, np.float32)
    scales = np.abs(wide).max(axis=-1) / np.float32(LARGEST)
    if not np.isfinite(scales).all():
        raise UsageError("image tokens are not finite, or outgrow float32; they cannot be quantised")
    divisors = np.where(scales == 0, np.float32(1), scales)[..., None]
    # Clipped for tokens so small that their scale is a denormal number, which has few digits.
    numbers = np.clip(np.rint(wide / divisors), -LARGEST, LARGEST).astype(np.int8)
    return numbers, scales


def dequantize_tokens(
    numbers: NDArray[np.int8], scales: NDArray[np.float32], dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Undo `quantize_tokens` as far as that is possible: numbers * scale in float32, then rounded.

    Args:
        numbers: (..., C).
        scales: (...).
        dtype: float32 or float16.

    Returns:
        (..., C) of that type.
    """
    wide = numbers.astype(np.float32)
    wide *= scales[..., None]
    return wide.astype(dtype, copy=False)
