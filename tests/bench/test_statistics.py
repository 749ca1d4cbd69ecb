import pytest

from cfack_bench.statistics import doubts, figures, halves_differ
from cfack_runtime.errors import UsageError


def test_figures_are_those_of_all_rounds_together() -> None:
    found = figures([[1.0, 2.0], [3.0, 4.0, 90.0]])

    assert (found.samples, found.p50, found.mean, found.spread) == (5, 3.0, 20.0, 2.0)


def test_tails_are_told_only_where_samples_lie_behind_them() -> None:
    few, some, many = (figures([[float(i) for i in range(count)]]) for count in (19, 20, 100))

    assert (few.p95, few.p99, some.p99) == (None, None, None)
    assert some.p95 == pytest.approx(18.05)
    assert many.p99 == pytest.approx(98.01)


def test_the_interval_of_the_median_holds_it_and_narrows_with_samples() -> None:
    few = figures([[float(i % 10) for i in range(20)]])
    many = figures([[float(i % 10) for i in range(2000)]])

    assert few.low <= few.p50 <= few.high
    assert many.high - many.low < few.high - few.low


def test_a_quiet_row_raises_no_doubt() -> None:
    assert doubts([[10.0, 10.1, 9.9] * 4] * 4) == ()


def test_halves_that_differ_by_more_than_five_percent_are_a_doubt() -> None:
    drifting = [[10.0] * 10, [10.0] * 10, [10.8] * 10, [10.8] * 10]

    assert halves_differ(drifting) == pytest.approx(0.8 / 10.4)
    assert doubts(drifting) == ("first and second half differ: 8%",)


def test_few_samples_near_the_median_are_a_doubt_unless_latencies_hold_waiting() -> None:
    wide = [[5.0, 7.0, 10.0, 13.0, 15.0] * 4] * 2

    assert doubts(wide) == ("only 20% of the samples within 10% of the median",)
    assert doubts(wide, wide=True) == ()


def test_few_samples_are_a_doubt() -> None:
    assert "only 4 samples" in doubts([[1.0, 1.0], [1.0, 1.0]])


def test_no_sample_gives_no_figures() -> None:
    with pytest.raises(UsageError, match="at least one sample"):
        figures([[], []])
