"""How long work reports that it moves; library code never prints."""

from __future__ import annotations

from typing import Protocol


class ProgressCallback(Protocol):
    """Called with the units done so far and the units in all."""

    def __call__(self, done: int, total: int, /) -> None:
        """Take note of the progress."""


def no_progress(done: int, total: int, /) -> None:
    """Report to nobody; the default everywhere."""
