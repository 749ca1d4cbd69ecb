"""The arithmetic of the gate, by hand."""

import math
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from cfack_export.parity.bootstrap import paired_bootstrap
from cfack_export.parity.difference import difference, worst
from cfack_export.parity.limits import LIMITS, Limits, limits_for
from cfack_export.parity.profiles import edges, fits
from cfack_export.parity.ranks import kendall_tau, overlap_at, top1_flips
from cfack_export.parity.verdict import allowed_drop
from cfack_runtime.engine import ShapeRange
from cfack_runtime.errors import UsageError


def rows(*values: list[float]) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_errors_are_relative_to_the_largest_expected_value_where_that_is_above_one() -> None:
    found = difference(rows([50.0, 0.001]), rows([50.0, 0.0]))

    assert found.max_abs == pytest.approx(0.001)
    assert found.error == pytest.approx(0.001 / 50)
    assert difference(rows([0.6, 0.81]), rows([0.6, 0.8])).error == pytest.approx(0.01, rel=1e-4)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_infinitely_far(value: float) -> None:
    found = difference(rows([value, 0.0]), rows([1.0, 0.0]))

    assert not found.finite
    assert not worst([difference(rows([1.0]), rows([1.0])), found]).finite


def test_the_lowest_cosine_is_that_of_the_worst_row() -> None:
    found = difference(rows([1.0, 0.0], [1.0, 1.0]), rows([1.0, 0.0], [1.0, 0.0]))

    assert found.min_cosine == pytest.approx(math.sqrt(0.5))
    assert difference(rows([0.0, 0.0]), rows([1.0, 0.0])).min_cosine == 0


def test_a_flip_has_the_margin_that_the_reference_gave_it() -> None:
    reference = np.array([[0, 1, 2], [2, 1, 0], [1, 0, 2]])
    got = np.array([[0, 2, 1], [1, 2, 0], [2, 1, 0]])
    scores = np.array([[0.9, 0.5, 0.1], [0.1, 0.5, 0.7], [0.5, 0.8, np.nan]])

    flips = top1_flips(reference, got, scores)

    assert flips.queries.tolist() == [1, 2]
    assert (flips.before.tolist(), flips.after.tolist()) == ([2, 1], [1, 2])
    assert flips.margins[0] == pytest.approx(0.2)
    assert np.isnan(flips.margins[1])


def test_overlap_counts_what_is_still_among_the_first() -> None:
    reference = np.array([[0, 1, 2, 3, 4, 5]])
    got = np.array([[5, 1, 4, 0, 2, 3]])

    assert overlap_at(reference, got, 2).tolist() == [0.5]
    assert overlap_at(reference, got, 100).tolist() == [1 / 3]  # of a small gallery its half


def test_kendalls_tau_of_the_same_the_reverse_and_one_exchange() -> None:
    reference = np.array([[0, 1, 2, 3]] * 3)
    got = np.array([[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 2, 3]])

    assert kendall_tau(reference, got, 100) == pytest.approx([1.0, -1.0, 4 / 6])


def test_intervals_hold_the_mean_and_are_wider_when_whole_identities_are_drawn() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 10)
    changes = np.repeat(rng.normal(size=40), 10)[:, None]  # all queries of an identity change alike

    (by_query,) = paired_bootstrap(changes, np.arange(400))
    (by_identity,) = paired_bootstrap(changes, groups)

    assert by_query.low < changes.mean() < by_query.high
    assert by_identity.high - by_identity.low > 2.5 * (by_query.high - by_query.low)
    assert paired_bootstrap(changes, groups)[0] == by_identity


def test_a_split_too_small_for_the_limit_may_lose_one_query() -> None:
    assert allowed_drop(0.5, 1000) == 0.5
    assert allowed_drop(0.5, 50) == 2.0


def test_max_drop_loosens_quantised_precisions_only() -> None:
    assert limits_for("int8", 3.0).r1_drop == limits_for("int8-cpu", 3.0).r1_drop == 3.0
    assert limits_for("fp32", 3.0).r1_drop == LIMITS["fp32"].r1_drop
    assert limits_for("fp16", 0.0).r1_drop == 0.0
    with pytest.raises(UsageError, match="max_drop is -1"):
        limits_for("int8", -1)
    with pytest.raises(UsageError, match="no parity limits for precision 'bf16'; known: fp32, fp16"):
        limits_for("bf16")


def test_calls_stay_inside_an_engines_profiles_and_reach_their_edges() -> None:
    short = {"input_ids": ShapeRange((1, 3), (8, 16), (64, 16))}
    long = {"input_ids": ShapeRange((1, 17), (8, 40), (32, 40))}

    assert fits({"input_ids": np.zeros((64, 16))}, [short, long])
    assert not fits({"input_ids": np.zeros((64, 40))}, [short, long])
    assert edges([short, long], [("input_ids", 0), ("input_ids", 1)]) == [
        (1, 3),
        (1, 17),
        (8, 16),
        (8, 40),
        (32, 40),
        (64, 16),
    ]


def test_the_documented_limits_are_those_of_the_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "parity.md").read_text()
    table = {row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \|(.+?)\|(.+?)\|(.+?)\|(.+?)\|", text, re.M)}

    assert table.keys() == {field.name for field in fields(Limits)}
    for name, cells in table.items():
        expected = [getattr(LIMITS[p], name) for p in ("fp32", "fp16", "int8", "int8-cpu")]
        assert [float(cell) for cell in cells] == expected, name
