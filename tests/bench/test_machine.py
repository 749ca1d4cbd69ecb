import os

import pytest

from cfack_bench.limits import MachineLimits, ReadRate, measure_limits
from cfack_bench.machine import CpuClock, foreign_share, physical_cores


def test_what_others_took_is_what_neither_we_nor_nobody_took() -> None:
    processors = os.cpu_count() or 1
    before, after = CpuClock(0.0, 100.0, 5.0), CpuClock(10.0, 100.0 + 3.0, 5.0 + 1.0)

    assert foreign_share(before, after, 2.0) == pytest.approx(2.0 / (10.0 * processors))
    # Own seconds are exact and those of the system come in ticks: the sign of the error is kept.
    assert foreign_share(before, after, 4.5) == pytest.approx(-0.5 / (10.0 * processors))
    assert foreign_share(None, after, 0.0) is None
    assert foreign_share(before, CpuClock(0.19, 100.0, 5.0), 0.0) is None


def test_a_limit_is_the_slower_of_arithmetic_and_reading() -> None:
    reads = (ReadRate(1000, 40.0, ()), ReadRate(10**9, 10.0, ()))
    limits = MachineLimits(1, 100.0, (), reads)

    assert limits.milliseconds(1e9, 0) == pytest.approx(10.0)
    assert limits.milliseconds(0, 1e8) == pytest.approx(10.0)
    assert limits.milliseconds(0, 1000) == pytest.approx(1e3 * 1000 / 40e9)


def test_of_two_measurements_the_better_counts() -> None:
    first = MachineLimits(1, 100.0, (1.0,), (ReadRate(8, 10.0, (1.0,)),))
    second = MachineLimits(1, 90.0, (2.0,), (ReadRate(8, 12.0, (2.0,)),))

    joined = first.better_of(second)

    assert (joined.matmul_gflops, joined.reads[0].gbs) == (100.0, 12.0)
    assert (joined.matmul_ms, joined.reads[0].milliseconds) == ((1.0, 2.0), (1.0, 2.0))


def test_rates_are_those_of_the_best_try() -> None:
    limits = measure_limits(1, side=64, sizes=(1 << 16,))

    assert limits.matmul_gflops == pytest.approx(2 * 64**3 / min(limits.matmul_ms) / 1e6, rel=1e-3)
    assert limits.reads[0].gbs == pytest.approx((1 << 16) / min(limits.reads[0].milliseconds) / 1e6, rel=1e-3)


def test_no_more_cores_than_this_process_may_use() -> None:
    assert 1 <= physical_cores() <= (os.cpu_count() or 1)
