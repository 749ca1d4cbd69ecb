"""Which layers return to a higher precision, judged by what searching finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cfack_runtime.errors import UsageError


@dataclass(frozen=True)
class Trial:
    """One set of layers left out, measured."""

    left_out: int
    drop: float
    """Of retrieval, for example in points of R@1, as far as it was measured; infinite if it was not."""
    passed: bool


@dataclass(frozen=True)
class Restored:
    """The outcome of a search."""

    exclude: tuple[str, ...]
    """Layers that must not be quantised, the most harmful first."""
    drop: float
    """Of retrieval, with these left out."""
    passed: bool
    trials: tuple[Trial, ...]
    """Every measurement in its order."""


Measure = Callable[[tuple[str, ...]], tuple[float, bool]]
"""Layers to leave out -> the drop of retrieval, and whether that may be."""


def restore_layers(
    layers: Sequence[str], by_harm: Callable[[], Sequence[str]], measure: Measure, *, trials: int = 8
) -> Restored:
    """Find a small set of layers to leave out of quantisation so that a measurement passes.

    A bisection over the order of harm: leaving out more is taken to help. What is returned was measured, so
    that a wrong order costs layers and never accuracy. All layers are left out at the very end, and only if
    nothing less has passed: that takes as long as any measurement, and mostly passes.

    Args:
        layers: all that are quantised.
        by_harm: gives the same, the most harmful first; asked only if none left out fails.
        measure: measures with these layers left out.
        trials: the most measurements.

    Raises:
        UsageError: fewer than two trials, or the order does not hold every layer once.
    """
    if trials < 2:
        raise UsageError(f"a search with {trials} trials; it needs at least 2, none and all layers left out")
    log: list[Trial] = []

    def attempt(exclude: tuple[str, ...]) -> Trial:
        log.append(Trial(len(exclude), *measure(exclude)))
        return log[-1]

    first = attempt(())
    if first.passed:
        return Restored((), first.drop, True, tuple(log))
    order = tuple(by_harm())
    if sorted(order) != sorted(layers):
        raise UsageError("the order of harm does not hold every layer once")
    best: Trial | None = None
    fails, passes = 0, len(order)
    while passes - fails > 1 and len(log) < trials - (best is None):
        # A few layers do most of the harm: look near the beginning first.
        middle = fails + max(1, (passes - fails) // (4 if fails == 0 else 2))
        trial = attempt(order[:middle])
        if trial.passed:
            passes, best = middle, trial
        else:
            fails = middle
    best = best or attempt(order)
    return Restored(order[:passes], best.drop, best.passed, tuple(log))
