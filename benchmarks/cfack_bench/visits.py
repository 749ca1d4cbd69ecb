"""One visit to a case: what comes of it, and how long it may be."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cfack_bench.statistics import rounded


@dataclass
class Visit:
    """Samples of one visit, in milliseconds."""

    samples: list[float] = field(default_factory=list)
    warmup: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)
    wall: float | None = None
    """From the first to the last answer, where several ran at once or had to wait."""
    details: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """How long a visit may be."""

    seconds: float
    samples: int
    warmup: int
    round: int


def repeat(limits: Limits, visit: Visit, once: Callable[[list[float]], Any]) -> None:
    """Warm up, then take samples until the time or their number is reached; at least one.

    Args:
        limits: of the visit.
        visit: what is filled.
        once: puts one sample into the list that it gets, which is `visit.warmup` or `visit.samples`.
    """
    began = time.perf_counter()
    for index in range(limits.warmup):
        # Calls of seconds are warm after one.
        if index == 0 or time.perf_counter() - began < limits.seconds:
            once(visit.warmup)
    began = time.perf_counter()
    while not visit.samples or (
        len(visit.samples) < limits.samples and time.perf_counter() - began < limits.seconds
    ):
        once(visit.samples)


def timed(call: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter_ns()
    call()
    return rounded((time.perf_counter_ns() - start) / 1e6)
