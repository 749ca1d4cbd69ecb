import numpy as np
import pytest

from cfack_bench.cases import Case
from cfack_bench.open_loop import poisson_arrivals, run_open_loop
from cfack_bench.row import Row


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds


def test_latency_counts_from_the_due_time_and_a_pause_delays_those_behind_it() -> None:
    clock = FakeClock()
    work = iter([5.0, 1.0, 1.0, 1.0])

    loop = run_open_loop(np.array([1.0, 2.0, 3.0, 20.0]), lambda _: clock.sleep(next(work)), clock)

    # Due at 1, 2, 3 and 20; answered at 6, 7, 8 and 21.
    assert loop.latency == pytest.approx((5.0, 5.0, 5.0, 1.0))
    assert loop.waiting == pytest.approx((0.0, 4.0, 4.0, 0.0))
    assert loop.wall == pytest.approx(21.0)


def test_a_loop_that_cannot_keep_up_ends_after_three_times_its_arrivals() -> None:
    clock = FakeClock()

    loop = run_open_loop(np.arange(1.0, 101.0), lambda _: clock.sleep(30.0), clock)

    assert len(loop.latency) == 10  # 301 s, where the arrivals take 100
    clock = FakeClock()
    assert len(run_open_loop(np.arange(0.1, 0.7, 0.1), lambda _: clock.sleep(30.0), clock).latency) == 5


def test_arrivals_have_the_rate_asked_for_and_repeat_with_the_seed() -> None:
    due = poisson_arrivals(50.0, 4000, (0, 1))

    assert due[-1] / 4000 == pytest.approx(1 / 50, rel=0.06)
    # The gaps of a Poisson process are as long as their standard deviation.
    assert np.diff(due).std() == pytest.approx(1 / 50, rel=0.08)
    np.testing.assert_array_equal(due, poisson_arrivals(50.0, 4000, (0, 1)))
    assert (due != poisson_arrivals(50.0, 4000, (0, 2))).all()


@pytest.mark.parametrize(("milliseconds", "marked"), [(80.0, False), (120.0, True)])
def test_a_loop_is_overloaded_if_answering_takes_longer_than_the_gaps(
    milliseconds: float, marked: bool
) -> None:
    waiting = [5.0 * place for place in range(20)]
    row = Row("onnxruntime/fp32", Case("open_loop", {"candidates": 1}))
    row.rounds = [[milliseconds + wait for wait in waiting]]
    row.stages, row.details = {"waiting": [waiting]}, {"rate": 10.0}

    assert row.utilisation == pytest.approx(milliseconds / 100)
    assert any(mark.startswith("overloaded") for mark in row.marks) == marked
