import os
import signal
import threading
from collections.abc import Iterator

import pytest

from cfack.training.interrupt import StopRequest, stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_to_stop(number: signal.Signals) -> None:
    with stop_on_signals() as request:
        assert request.signal is None
        os.kill(os.getpid(), number)
        assert request.signal == number.name


@pytest.fixture
def ctrl_c_interrupts() -> Iterator[None]:
    """As in a program that a person started; one in a shell's background is born with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_the_second_ctrl_c_acts_at_once() -> None:
    with stop_on_signals(), pytest.raises(KeyboardInterrupt):  # noqa: PT012 the second signal is the point
        # To this thread: sent to the process, two signals may reach another thread and become one.
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_the_previous_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stop_on_signals():
        assert signal.getsignal(signal.SIGINT) is not before[0]

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_another_thread_trains_without_touching_signals() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[tuple[StopRequest, object]] = []

    def work() -> None:
        with stop_on_signals() as request:
            seen.append((request, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen[0][0].signal is None
    assert seen[0][1] == before
