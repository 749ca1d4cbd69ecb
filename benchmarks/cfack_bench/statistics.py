"""From raw samples to figures, and what makes figures doubtful.

Samples are milliseconds and come in rounds: one list for each visit to a candidate, in the order of time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.errors import UsageError

Rounds = Sequence[Sequence[float]]

HALVES_DIFFER = 0.05
"""The medians of the first and the second half of the rounds may differ by this share."""
NEAR = 0.10
"""A sample this close to the median, as a share of it, is near it."""
FEWEST_NEAR = 0.5
"""At least this share of all samples has to be near the median."""
FEWEST_SAMPLES = 10

_SAMPLES_FOR_P95, _SAMPLES_FOR_P99 = 20, 100
_DIGITS = 5


@dataclass(frozen=True)
class Figures:
    """What a table says of a row; all but the first in milliseconds."""

    samples: int
    p50: float
    p95: float | None
    """None below 20 samples, which have nothing behind their 95th percentile."""
    p99: float | None
    """None below 100 samples."""
    mean: float
    spread: float
    """Distance between the quartiles: the middle half of the samples lies within it."""
    low: float
    """The median lies between `low` and `high` with 95 % confidence, by order statistics."""
    high: float


def rounded(milliseconds: float) -> float:
    """Keep five digits, as samples are kept: figures and files then never disagree."""
    return float(f"{milliseconds:.{_DIGITS}g}")


def flat(rounds: Rounds) -> NDArray[np.float64]:
    """All samples in order."""
    return np.array([sample for one in rounds for sample in one], dtype=np.float64)


def figures(rounds: Rounds) -> Figures:
    """Summarise the samples of a row.

    Raises:
        UsageError: there is no sample.
    """
    samples = flat(rounds)
    if not len(samples):
        raise UsageError("figures need at least one sample")
    ordered = np.sort(samples)
    low, high = _median_ranks(len(ordered))
    return Figures(
        samples=len(samples),
        p50=_percentile(samples, 50),
        p95=_percentile(samples, 95) if len(samples) >= _SAMPLES_FOR_P95 else None,
        p99=_percentile(samples, 99) if len(samples) >= _SAMPLES_FOR_P99 else None,
        mean=float(samples.mean()),
        spread=_percentile(samples, 75) - _percentile(samples, 25),
        low=float(ordered[low]),
        high=float(ordered[high]),
    )


def halves_differ(rounds: Rounds) -> float:
    """By which share of the whole median the medians of the two halves of the rounds differ."""
    filled = [one for one in rounds if len(one)]
    if len(filled) > 1:
        middle = len(filled) // 2
        first, second = flat(filled[:middle]), flat(filled[-middle:])
    else:
        samples = flat(filled)
        first, second = samples[: len(samples) // 2], samples[len(samples) // 2 :]
    if not len(first) or not len(second):
        return math.inf
    return float(abs(np.median(second) - np.median(first)) / np.median(flat(filled)))


def doubts(rounds: Rounds, *, wide: bool = False) -> tuple[str, ...]:
    """Reasons to call a row unstable; none if it is not.

    Args:
        rounds: its samples.
        wide: its samples are not of equal work (an open loop, whose latencies hold the waiting), so that
            few of them lie near their median by nature.
    """
    samples = flat(rounds)
    reasons = []
    if len(samples) < FEWEST_SAMPLES:
        reasons.append(f"only {len(samples)} samples")
    difference = halves_differ(rounds)
    if difference > HALVES_DIFFER:
        share = "nothing to compare" if math.isinf(difference) else f"{difference:.0%}"
        reasons.append(f"first and second half differ: {share}")
    median = np.median(samples)
    near = float(np.mean(np.abs(samples - median) <= NEAR * median))
    if near < FEWEST_NEAR and not wide:
        reasons.append(f"only {near:.0%} of the samples within {NEAR:.0%} of the median")
    return tuple(reasons)


def _percentile(samples: NDArray[np.float64], percent: float) -> float:
    return float(np.percentile(samples, percent))


def _median_ranks(count: int) -> tuple[int, int]:
    """Ranks (from 0) of the samples that enclose the median with 95 % confidence, by the binomial law."""
    half_width = 0.98 * math.sqrt(count)
    low = math.floor((count - 1) / 2 - half_width)
    return max(low, 0), min(count - 1 - low, count - 1)


def as_json(value: Figures) -> dict[str, Any]:
    """Members of a row's `figures`, rounded as the samples are."""
    return {
        name: rounded(number) if isinstance(number, float) else number for name, number in vars(value).items()
    }
