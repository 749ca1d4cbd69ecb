"""How large the values of an activation are, counted while calls go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cfack_export.precision.weights import LARGEST_INT8

BINS = 2048
METHODS = ("minmax", "entropy")
"""How `threshold` chooses."""
_LEVELS = LARGEST_INT8 + 1


@dataclass
class Histogram:
    """Absolute values in equal bins from 0; a value beyond the last doubles the width of all."""

    counts: NDArray[np.float64] = field(default_factory=lambda: np.zeros(BINS))
    width: float = 0.0
    """Of one bin; 0 before the first value."""
    largest: float = 0.0

    def add(self, values: NDArray[np.floating]) -> None:
        """Count values of any shape."""
        sizes = np.abs(values.astype(np.float32, copy=False)).ravel()
        top = float(sizes.max(initial=0.0))
        if top == 0:
            return
        self.largest = max(self.largest, top)
        if self.width == 0:
            self.width = top / BINS
        while top > self.width * BINS:
            pairs = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([pairs, np.zeros(BINS - len(pairs))])
            self.width *= 2
        bins = np.minimum((sizes / self.width).astype(np.int64), BINS - 1)
        self.counts += np.bincount(bins, minlength=BINS)


def write_histograms(path: Path, histograms: Mapping[str, Histogram]) -> None:
    """Write histograms by name as an .npz file."""
    names = list(histograms)
    found = [histograms[name] for name in names]
    np.savez(
        path,
        allow_pickle=False,
        names=np.array(names, np.str_),
        counts=np.stack([h.counts for h in found]) if found else np.empty((0, BINS)),
        edges=np.array([(h.width, h.largest) for h in found], np.float64).reshape(-1, 2),
    )


def read_histograms(path: Path) -> dict[str, Histogram]:
    """Read what `write_histograms` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        rows = zip(stored["names"].tolist(), stored["counts"], stored["edges"].tolist(), strict=True)
        return {name: Histogram(counts, width, largest) for name, counts, (width, largest) in rows}


def threshold(histogram: Histogram, method: str) -> float:
    """Largest absolute value that 8 bits will tell apart; larger ones become it.

    Args:
        histogram: of the activation.
        method: "minmax": the largest seen. "entropy": where the 8-bit distribution tells most of the original
            one, by Kullback-Leibler divergence (Migacz, "8-bit inference with TensorRT", 2017).
    """
    if method == "minmax" or histogram.largest == 0:
        return histogram.largest
    counts = histogram.counts.copy()
    counts[0] = 0  # zeros are exact whatever the scale
    used = int(np.flatnonzero(counts).max(initial=0)) + 1
    if used <= _LEVELS:
        return histogram.largest
    best = min(range(_LEVELS, used + 1, 8), key=lambda end: _divergence(counts, end))
    return min(histogram.largest, best * histogram.width)


def _divergence(counts: NDArray[np.float64], end: int) -> float:
    """Between the first `end` bins, clipped values in the last of them, and their image in 8 bits."""
    original = counts[:end].copy()
    filled = original > 0
    level = np.arange(end) * _LEVELS // end
    sums = np.bincount(level, weights=original, minlength=_LEVELS)
    sizes = np.bincount(level, weights=filled, minlength=_LEVELS)
    original[-1] += counts[end:].sum()
    coarse = np.where(filled, (sums / np.maximum(sizes, 1))[level], 0.0)
    if coarse.sum() == 0:
        return float("inf")
    p, q = original / original.sum(), coarse / coarse.sum()
    seen = p > 0
    # Clipped values may land in a bin that held none.
    return float((p[seen] * np.log(p[seen] / np.maximum(q[seen], 1e-9))).sum())
