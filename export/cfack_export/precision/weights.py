"""Weight matrices in 8 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGEST_INT8 = 127
"""Symmetric: -128 is not used."""


def quantize_columns(
    weight: NDArray[np.floating], scale_type: type[np.floating] = np.float32
) -> tuple[NDArray[np.int8], NDArray[np.floating]]:
    """Quantise a matrix with one scale for each output channel.

    Args:
        weight: (K, N).
        scale_type: of the scales. They are rounded first and the weights divided by what came out, so that a
            coarse type of scale costs no more than its own step.

    Returns:
        int8 (K, N) and the scales (N,); `values * scales` is near `weight`.
    """
    largest = np.abs(weight.astype(np.float32)).max(axis=0, initial=0.0)
    smallest = np.finfo(scale_type).smallest_subnormal
    scales = np.maximum((largest / LARGEST_INT8).astype(scale_type), smallest)
    scales[largest == 0] = 1
    steps = np.rint(weight.astype(np.float32) / scales.astype(np.float32))
    return np.clip(steps, -LARGEST_INT8, LARGEST_INT8).astype(np.int8), scales
