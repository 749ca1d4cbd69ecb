"""Which layers return to a higher precision, judged by what searching finds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cfack_runtime.errors import UsageError


@dataclass(frozen=True)
class Restored:
    """The outcome of a search."""

    exclude: tuple[str, ...]
    """Layers that must not be quantised."""
    drop: float
    """Of retrieval, with these left out."""
    passed: bool
    """Whether `drop` is within the budget."""
    trials: tuple[tuple[int, float], ...]
    """How many layers were left out and the drop, for every measurement in its order."""


def restore_layers(
    harm: Sequence[str], drop: Callable[[tuple[str, ...]], float], *, budget: float, trials: int = 8
) -> Restored:
    """Find a small set of layers to leave out of quantisation so that retrieval stays within a budget.

    A bisection over the order of harm: leaving out more is taken to help. What is returned was measured, so
    that a wrong order costs layers and never accuracy.

    Args:
        harm: all quantised layers, the most harmful first.
        drop: measures the loss of retrieval with these layers left out, for example in points of R@1.
        budget: the largest drop allowed, in the unit of `drop`.
        trials: the most measurements.

    Raises:
        UsageError: fewer than two trials, or a layer is listed twice.
    """
    if trials < 2:
        raise UsageError(f"a search with {trials} trials; it needs at least 2, none and all layers left out")
    if len(set(harm)) != len(harm):
        raise UsageError("a layer is listed twice in the order of harm")
    log: list[tuple[int, float]] = []

    def measure(count: int) -> float:
        value = drop(tuple(harm[:count]))
        log.append((count, value))
        return value

    fails, passes, at_passes = 0, len(harm), math.nan
    first = measure(0)
    if first <= budget:
        return Restored((), first, True, tuple(log))
    at_passes = measure(len(harm))
    if not at_passes <= budget:  # written so that NaN is refused
        return Restored(tuple(harm), at_passes, False, tuple(log))
    while passes - fails > 1 and len(log) < trials:
        # A few layers do most of the harm: look near the beginning first.
        middle = fails + max(1, (passes - fails) // (4 if fails == 0 else 2))
        value = measure(middle)
        if value <= budget:
            passes, at_passes = middle, value
        else:
            fails = middle
    return Restored(tuple(harm[:passes]), at_passes, True, tuple(log))
