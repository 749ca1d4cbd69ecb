"""One call on a GPU, timed from both sides: by the host's clock, and by events in the device's stream."""

from __future__ import annotations

import time
from typing import Protocol

from cfack_bench.statistics import rounded

PARTS = ("transfer in", "device", "transfer out")
"""What events tell apart; together they are the device's share of a call."""
MARKS = len(PARTS) + 1
"""Events that a stream holds: one before, between and after the parts."""


class DeviceStream(Protocol):
    """Where a device takes its work from, in order."""

    def mark(self, place: int) -> None:
        """Put event number `place`, from 0 to `MARKS` - 1, into the stream."""

    def milliseconds(self, first: int, last: int) -> float:
        """Time between two events that have happened."""

    def synchronize(self) -> None:
        """Wait for all that was put into the stream."""


class DeviceCall(Protocol):
    """A graph at fixed shapes, whose inputs and outputs have their memory on both sides."""

    @property
    def stream(self) -> DeviceStream:
        """What the three steps put their work into, without waiting for it."""

    def upload(self) -> None:
        """Copy every input to the device."""

    def launch(self) -> None:
        """Run the graph, or what was captured of it."""

    def download(self) -> None:
        """Copy every output to the host."""

    def close(self) -> None:
        """Free everything."""


def timed_call(call: DeviceCall) -> tuple[float, dict[str, float]]:
    """Make one call and wait for it.

    Returns:
        Milliseconds from the first copy in to the last copy out, by the host's clock, and those of each of
        `PARTS` by the device's events.
    """
    began = time.perf_counter_ns()
    call.stream.mark(0)
    for place, step in enumerate((call.upload, call.launch, call.download), 1):
        step()
        call.stream.mark(place)
    call.stream.synchronize()
    wall = time.perf_counter_ns() - began
    parts = {part: rounded(call.stream.milliseconds(i, i + 1)) for i, part in enumerate(PARTS)}
    return rounded(wall / 1e6), parts
