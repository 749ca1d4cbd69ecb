"""Intervals of the mean of paired differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
_LEVEL = 95
_BLOCK = 200


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


def paired_bootstrap(
    differences: NDArray[np.float64], groups: NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Interval]:
    """Percentile intervals of the means of paired differences, by drawing whole groups with replacement.

    With every query a group of its own this is the ordinary bootstrap. Queries of one identity share its
    images, so that drawing identities gives the wider and more honest interval (B. Efron and R. Tibshirani,
    An Introduction to the Bootstrap, 1993, chapters 8 and 13).

    Args:
        differences: (Q, M), new value less old value of M metrics.
        groups: (Q,) the group of each query.
        resamples: number of draws.
        seed: of the draws; the same seed gives the same intervals.

    Returns:
        M intervals.
    """
    _, members = np.unique(groups, return_inverse=True)
    count = int(members.max()) + 1
    sums = np.zeros((count, differences.shape[1]))
    np.add.at(sums, members, differences)
    sizes = np.bincount(members, minlength=count)
    rng = np.random.default_rng(seed)
    means = []
    for start in range(0, resamples, _BLOCK):
        draws = min(_BLOCK, resamples - start)
        weights = rng.multinomial(count, np.full(count, 1 / count), size=draws)  # (b, groups)
        means.append((weights @ sums) / (weights @ sizes)[:, None])
    tail = (100 - _LEVEL) / 2
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail], axis=0)
    return [Interval(float(a), float(b)) for a, b in zip(low, high, strict=True)]
