"""How far an array is from what it should be."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Difference:
    """Of one array from another; infinite where a value is no number."""

    max_abs: float
    """Largest difference."""
    error: float
    """The same, divided by the largest expected value where that is above 1."""
    min_cosine: float
    """Lowest cosine of corresponding rows; 0 where a row is zero or no number."""

    @property
    def finite(self) -> bool:
        """Whether every value was a number."""
        return math.isfinite(self.error)


NO_DIFFERENCE = Difference(0.0, 0.0, 1.0)


def difference(got: FloatArray, expected: FloatArray) -> Difference:
    """Compare two arrays of one shape; rows are what lies along the last axis.

    Args:
        got: (..., D).
        expected: (..., D).
    """
    if not got.size:
        return NO_DIFFERENCE
    if not (np.isfinite(got).all() and np.isfinite(expected).all()):
        return Difference(math.inf, math.inf, 0.0)
    a, b = got.astype(np.float64), expected.astype(np.float64)
    largest = float(np.abs(a - b).max())
    return Difference(largest, largest / max(1.0, float(np.abs(b).max())), float(row_cosines(a, b).min()))


def row_cosines(got: FloatArray, expected: FloatArray) -> NDArray[np.float64]:
    """Cosines of corresponding rows of two arrays (..., D), as (...); a row of zeros has 0 with any other."""
    a, b = got.astype(np.float64), expected.astype(np.float64)
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray((a * b).sum(axis=-1) / np.maximum(norms, np.finfo(np.float64).tiny))


def worst(differences: Iterable[Difference]) -> Difference:
    """The largest errors and the lowest cosine of several comparisons; no difference of none."""
    found = [NO_DIFFERENCE, *differences]
    return Difference(
        max(item.max_abs for item in found),
        max(item.error for item in found),
        min(item.min_cosine for item in found),
    )


def finite_or_none(value: float) -> float | None:
    """A number as JSON can hold it."""
    return value if math.isfinite(value) else None
