import time

import pytest

from cfack_bench import Latency, measure
from cfack_runtime.errors import UsageError


def test_percentiles_and_mean_are_those_of_the_samples() -> None:
    latency = Latency((40.0, 10.0, 20.0, 30.0, 100.0))

    assert latency.p50 == 30.0
    assert latency.p95 == pytest.approx(88.0)  # 40 + 0.8 * (100 - 40)
    assert latency.mean == 40.0


def test_warm_up_calls_are_made_but_not_counted() -> None:
    calls: list[int] = []

    latency = measure(lambda: calls.append(1), warmup=2, repeat=5)

    assert len(calls) == 7
    assert len(latency.samples_ms) == 5


def test_samples_are_milliseconds() -> None:
    latency = measure(lambda: time.sleep(0.02), warmup=0, repeat=3)

    assert min(latency.samples_ms) >= 20.0
    assert latency.p50 < 1000.0


def test_a_slow_first_call_stays_out_of_the_samples() -> None:
    pauses = iter([0.2, 0.0, 0.0])

    latency = measure(lambda: time.sleep(next(pauses)), warmup=1, repeat=2)

    assert max(latency.samples_ms) < 200.0


@pytest.mark.parametrize(("warmup", "repeat"), [(-1, 5), (0, 0)])
def test_counts_that_make_no_sense_are_refused(warmup: int, repeat: int) -> None:
    with pytest.raises(UsageError, match="expected warmup >= 0 and repeat >= 1"):
        measure(lambda: None, warmup=warmup, repeat=repeat)


def test_a_latency_without_samples_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one sample"):
        Latency(())
