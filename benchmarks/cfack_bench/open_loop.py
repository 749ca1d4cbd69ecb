"""Queries that arrive by themselves: what a user waits for when others ask too.

In a closed loop the next query waits politely for the last answer, so a pause of the system delays one
sample. Here the queries behind it are delayed as well, since latency counts from the due time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_PATIENCE = 3.0
"""So many times as long as the arrivals take may answering them take."""
_FEWEST = 5
"""Queries that are answered however long they take."""


class Clock(Protocol):
    """What tells the time and waits; `time` itself, or a test's."""

    def perf_counter(self) -> float:
        """Seconds."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


@dataclass(frozen=True)
class OpenLoop:
    """Seconds of each query, in the order of arrival."""

    latency: tuple[float, ...]
    """From the due time to the answer."""
    waiting: tuple[float, ...]
    """From the due time to the begin of work."""
    wall: float
    """From the begin to the last answer."""


def poisson_arrivals(rate: float, count: int, seed: tuple[int, int]) -> NDArray[np.float64]:
    """Due times (count,) in seconds of a Poisson process of `rate` arrivals a second."""
    gaps = np.random.default_rng(seed).exponential(1.0 / rate, count)
    return np.cumsum(gaps)


def run_open_loop(due: NDArray[np.float64], answer: Callable[[int], object], clock: Clock = time) -> OpenLoop:
    """Answer queries one at a time, in the order of arrival, none before it is due.

    Ends early if what arrives is far more than can be answered: latency then grows as long as one goes on.

    Args:
        due: (n,) seconds from now, ascending.
        answer: gets the index of the query.
        clock: for tests.
    """
    enough = _PATIENCE * due[-1]
    began = clock.perf_counter()
    latency, waiting = [], []
    for index, moment in enumerate(due.tolist()):
        if index >= _FEWEST and clock.perf_counter() - began > enough:
            break
        early = began + moment - clock.perf_counter()
        if early > 0:
            clock.sleep(early)
        waiting.append(clock.perf_counter() - began - moment)
        answer(index)
        latency.append(clock.perf_counter() - began - moment)
    return OpenLoop(tuple(latency), tuple(waiting), clock.perf_counter() - began)
