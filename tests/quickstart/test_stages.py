import pytest

from cfack.quickstart.onnx_search import spread
from cfack.quickstart.stages import STAGES, StageClock


def test_the_shares_of_all_stages_make_one() -> None:
    assert sum(STAGES.values()) == pytest.approx(1.0)


def test_progress_adds_up_over_the_stages() -> None:
    seen: list[tuple[str, float]] = []
    clock = StageClock(lambda stage, share, seconds, /: seen.append((stage, share)))
    names = list(STAGES)
    clock.start(names[0])(1, 2)
    clock.start(names[1])(3, 3)
    clock.finish()
    first, second = STAGES[names[0]], STAGES[names[1]]
    expected = [(names[0], 0.0), (names[0], first / 2), (names[1], first), (names[1], first + second)]
    assert [stage for stage, _ in seen] == [stage for stage, _ in expected]
    assert [share for _, share in seen] == pytest.approx([share for _, share in expected])
    assert set(clock.seconds) == {names[0], names[1]}


def test_queries_are_spread_over_the_split() -> None:
    assert spread(100, 4) == [0, 25, 50, 75]
    assert spread(2, 4) == [0, 1]
