"""Ctrl-C and SIGTERM: the present step is finished and saved before the run ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cfack_runtime.errors import TrainingError


class TrainingInterruptedError(TrainingError):
    """A signal ended the run; its state is saved and it can be resumed."""

    exit_code = 130


class StopRequest:
    """Whether a signal has asked the run to end."""

    def __init__(self) -> None:
        self.signal: str | None = None
        """Name of the signal, once it came."""


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a request that the loop answers between two steps.

    Only the first signal is taken; the second one acts as if this block were not there. Signals reach a
    program's main thread alone: in another thread the request is never set.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.getsignal(number) for number in signals}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        request.signal = signal.Signals(number).name
        restore()

    for number in signals:
        signal.signal(number, handle)
    try:
        yield request
    finally:
        restore()
