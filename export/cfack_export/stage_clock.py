"""Progress over stages of different length, as one count."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cfack_runtime.progress import ProgressCallback, no_progress

_PARTS = 100

StageTitle = Callable[[str], None]
"""Told the title of the stage that begins."""


def no_title(title: str, /) -> None:
    """Nobody asked."""


class StageClock:
    """Turns the progress of each stage into progress of the whole.

    Args:
        stages: title and weight of each stage that will be run, in their order.
        progress: told the parts done, and in all.
        on_stage: told each title.
    """

    def __init__(
        self,
        stages: Sequence[tuple[str, int]],
        progress: ProgressCallback = no_progress,
        on_stage: StageTitle = no_title,
    ) -> None:
        self._waiting = list(stages)
        self._progress, self._on_stage = progress, on_stage
        self._total = _PARTS * sum(weight for _, weight in stages)
        self._done = self._weight = 0
        progress(0, self._total)

    def start(self, title: str) -> ProgressCallback:
        """End the running stage and begin the next, which is called so; returns its progress callback."""
        expected, weight = self._waiting.pop(0)
        assert title == expected, f"{title!r} begins where {expected!r} was announced"
        self._done += _PARTS * self._weight
        self._weight = weight
        self._progress(self._done, self._total)
        self._on_stage(title)
        begun = self._done

        def report(done: int, total: int, /) -> None:
            self._progress(begun + _PARTS * weight * done // max(total, 1), self._total)

        return report

    def finish(self) -> None:
        """End the last stage."""
        self._progress(self._total, self._total)


def part_of(progress: ProgressCallback, number: int, count: int) -> ProgressCallback:
    """Progress of one of several parts of equal work, as progress of all of them."""

    def report(done: int, total: int, /) -> None:
        progress(_PARTS * number + _PARTS * done // max(total, 1), _PARTS * count)

    return report
