"""How a run tells what it is doing."""

from __future__ import annotations

from typing import Protocol


class BenchProgress(Protocol):
    """Called with what is at work, the share of all that is done, and seconds left if they are known."""

    def __call__(self, doing: str, share: float, seconds_left: float | None, /) -> None:
        """Take note of the progress."""


def no_bench_progress(doing: str, share: float, seconds_left: float | None, /) -> None:
    """Report to nobody."""
