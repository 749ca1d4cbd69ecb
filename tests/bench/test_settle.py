import threading
import time

from cfack_bench.settle import settle


def test_it_waits_for_a_thread_that_spins_on() -> None:
    end = time.perf_counter() + 0.15

    def spin() -> None:
        while time.perf_counter() < end:
            pass

    thread = threading.Thread(target=spin)
    thread.start()

    settled = settle(limit=5.0)

    assert settled
    assert time.perf_counter() >= end
    thread.join()


def test_it_does_not_wait_for_ever() -> None:
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            pass

    thread = threading.Thread(target=spin)
    thread.start()

    settled = settle(limit=0.1)

    stop.set()
    thread.join()
    assert not settled
