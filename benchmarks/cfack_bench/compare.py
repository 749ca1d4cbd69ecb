"""What became faster or slower between two runs, beyond the noise.

The samples of one visit are alike, since they share a moment of the machine. What is drawn anew to learn
how far the ratio of two medians may move are therefore whole rounds (a cluster bootstrap; Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, section 8.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfack_bench.candidates import REFUSED
from cfack_bench.differences import differences
from cfack_bench.results import Results
from cfack_bench.row import Row
from cfack_bench.statistics import Rounds, flat, halves_differ
from cfack_runtime.errors import UsageError

SLOWER, FASTER, SAME, UNCLEAR = "slower", "faster", "same", "unclear"

STATISTICS = {"p50": 0.5, "p95": 0.95, "mean": None}
"""What may be compared; a share of the samples, or None for the mean."""

CONFIDENCE = 0.99
MARGIN = 0.05
_DRAWS = 2000
_FEWEST_ROUNDS = 4
_BLOCKS = 8


@dataclass(frozen=True)
class Change:
    """One row in both runs."""

    candidate: str
    case: str
    before: float
    """Milliseconds."""
    after: float
    low: float
    """After over before lies between `low` and `high` with 99 % confidence."""
    high: float
    floor: float
    """Share by which a run disagrees with itself; a change below it is not believed."""
    verdict: str
    """`SLOWER`, `FASTER`, `SAME` (no change larger than the margin) or `UNCLEAR` (too noisy to tell)."""

    @property
    def ratio(self) -> float:
        """After over before; above 1 is slower."""
        return self.after / self.before


@dataclass(frozen=True)
class Comparison:
    """Two runs, row by row."""

    changes: tuple[Change, ...]
    lost: tuple[str, ...]
    """Candidates that had a speed and have none now, since their parity gate did not pass."""
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    warnings: tuple[str, ...]
    """Reasons why a change may not come from the code."""
    statistic: str = "p50"
    """What is compared: one of `STATISTICS`."""

    def regressions(self, fail_over: float) -> list[str]:
        """What is slower by more than a share, beyond the noise, or has lost its speed."""
        slower = [
            f"{change.candidate}, {change.case}: {change.ratio - 1:+.1%}"
            for change in self.changes
            if change.verdict == SLOWER and change.ratio > 1 + fail_over
        ]
        return [*slower, *(f"{name}: its parity gate did not pass" for name in self.lost)]


def compare(
    before: Results, after: Results, *, statistic: str = "p50", margin: float = MARGIN, seed: int = 0
) -> Comparison:
    """Compare two runs of the same suite.

    A row is slower or faster if the interval of the ratio leaves 1 out and the change is larger than the
    disagreement of either run's own halves.

    Args:
        before: the run to compare with.
        after: the run in question.
        statistic: "p50", "p95" or "mean".
        margin: a change smaller than this share counts as none.
        seed: of the random draws.

    Raises:
        UsageError: no such statistic, or the runs have no row in common.
    """
    if statistic not in STATISTICS:
        raise UsageError(f"no statistic {statistic!r}; expected one of {', '.join(STATISTICS)}")
    old, new = ({row.key: row for row in results.rows} for results in (before, after))
    common = [key for key in old if key in new]
    refused = {account["id"] for account in after.candidates if account["status"] == REFUSED}
    lost = tuple(sorted({candidate for candidate, _ in old} & refused))
    if not common and not lost:
        raise UsageError("the two runs have no row in common; measure both with the same suite and backends")
    draw = np.random.default_rng(seed)
    return Comparison(
        changes=tuple(_change(old[key], new[key], statistic, margin, draw) for key in common),
        lost=lost,
        only_before=tuple(" ".join(key) for key in old if key not in new and key[0] not in refused),
        only_after=tuple(" ".join(key) for key in new if key not in old),
        warnings=tuple(differences(before, after)),
        statistic=statistic,
    )


def interval(before: Rounds, after: Rounds, statistic: str, draw: np.random.Generator) -> tuple[float, float]:
    """Where after over before lies with 99 % confidence."""
    share = STATISTICS[statistic]
    ratios = _redrawn(after, share, draw) / _redrawn(before, share, draw)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(ratios, (tail, 100 - tail))
    return float(low), float(high)


def _change(old: Row, new: Row, statistic: str, margin: float, draw: np.random.Generator) -> Change:
    low, high = interval(old.rounds, new.rounds, statistic, draw)
    share = STATISTICS[statistic]
    before, after = (_value(flat(row.rounds), share) for row in (old, new))
    floor = max(halves_differ(old.rounds), halves_differ(new.rounds))
    ratio = after / before
    beyond = abs(ratio - 1) > floor
    if low > 1 and beyond:
        verdict = SLOWER
    elif high < 1 and beyond:
        verdict = FASTER
    elif low >= 1 / (1 + margin) and high <= 1 + margin:
        verdict = SAME
    else:
        verdict = UNCLEAR
    return Change(old.candidate, old.case.key, before, after, low, high, floor, verdict)


def _value(samples: NDArray[np.float64], share: float | None) -> float:
    return float(samples.mean() if share is None else np.quantile(samples, share))


def _redrawn(rounds: Rounds, share: float | None, draw: np.random.Generator) -> NDArray[np.float64]:
    """The statistic of `_DRAWS` runs made of this run's rounds, drawn with replacement."""
    clusters = _clusters(rounds)
    samples = flat(clusters)
    owner = np.repeat(np.arange(len(clusters)), [len(one) for one in clusters])
    times = draw.multinomial(len(clusters), np.full(len(clusters), 1 / len(clusters)), _DRAWS)
    if share is None:
        weights = times[:, owner]
        return np.asarray((weights * samples).sum(axis=1) / weights.sum(axis=1))
    order = np.argsort(samples)
    reached = np.cumsum(times[:, owner[order]], axis=1)  # (draws, samples): weight up to each sample
    place = (reached >= share * reached[:, -1:]).argmax(axis=1)
    return np.asarray(samples[order][place])


def _clusters(rounds: Rounds) -> Sequence[Sequence[float]]:
    """The rounds; of too few rounds, stretches of their samples."""
    filled = [one for one in rounds if len(one)]
    if len(filled) >= _FEWEST_ROUNDS:
        return filled
    blocks = np.array_split(flat(filled), _BLOCKS)
    return [block.tolist() for block in blocks if len(block)]
