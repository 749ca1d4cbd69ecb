import math

import pytest

from cfack.config import ScheduleConfig
from cfack.training.schedule import rate_factor


def test_warm_up_rises_linearly_from_zero_over_the_whole_number_of_steps_in_its_share() -> None:
    config = ScheduleConfig(warmup_fraction=0.25)  # int(0.25 * 19) = 4 steps

    assert [rate_factor(step, 19, config) for step in range(5)] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_cosine_falls_over_the_steps_that_follow_the_warm_up() -> None:
    config = ScheduleConfig(warmup_fraction=0.2)

    factors = [rate_factor(step, 10, config) for step in (2, 4, 6, 8)]

    expected = [1.0, 0.5 * (1 + math.cos(math.pi / 4)), 0.5, 0.5 * (1 + math.cos(3 * math.pi / 4))]
    assert factors == pytest.approx(expected)


def test_linear_decay_is_a_straight_line() -> None:
    config = ScheduleConfig(name="linear", warmup_fraction=0.2)

    assert [rate_factor(step, 10, config) for step in (2, 4, 6, 8)] == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_the_factor_never_falls_below_the_lowest_rate() -> None:
    config = ScheduleConfig(warmup_fraction=0.0, min_rate=0.3)

    assert [rate_factor(step, 4, config) for step in range(4)] == pytest.approx(
        [1.0, 0.5 * (1 + math.cos(math.pi / 4)), 0.5, 0.3]
    )


def test_a_warm_up_of_less_than_one_step_is_no_warm_up() -> None:
    assert rate_factor(0, 5, ScheduleConfig(warmup_fraction=0.1)) == 1.0


def test_a_warm_up_over_the_whole_run_never_decays() -> None:
    config = ScheduleConfig(warmup_fraction=1.0)

    assert [rate_factor(step, 4, config) for step in range(4)] == [0.0, 0.25, 0.5, 0.75]
