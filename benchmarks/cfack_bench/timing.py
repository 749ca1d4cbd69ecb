"""Latency of a call: warm-up kept apart, every sample kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cfack_runtime.errors import UsageError


@dataclass(frozen=True)
class Latency:
    """Wall-clock times of the same call, in milliseconds and in the order they were taken."""

    samples_ms: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.samples_ms:
            raise UsageError("a latency needs at least one sample")

    @property
    def p50(self) -> float:
        """Median in milliseconds."""
        return self._percentile(50)

    @property
    def p95(self) -> float:
        """95th percentile in milliseconds, interpolated between samples."""
        return self._percentile(95)

    @property
    def mean(self) -> float:
        """Mean in milliseconds."""
        return float(np.mean(self.samples_ms))

    def _percentile(self, percent: float) -> float:
        return float(np.percentile(self.samples_ms, percent))


def measure(call: Callable[[], object], *, warmup: int = 3, repeat: int = 20) -> Latency:
    """Time a call.

    Args:
        call: what to time; it must wait for its own result, which on a GPU means to synchronise.
        warmup: calls before the clock starts: they pay for allocations and lazy compilation.
        repeat: calls that are timed, one by one.

    Raises:
        UsageError: `warmup` is negative or `repeat` below 1.
    """
    if warmup < 0 or repeat < 1:
        raise UsageError(f"expected warmup >= 0 and repeat >= 1, got warmup={warmup} and repeat={repeat}")
    for _ in range(warmup):
        call()
    return Latency(tuple(_milliseconds(call) for _ in range(repeat)))


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e6
