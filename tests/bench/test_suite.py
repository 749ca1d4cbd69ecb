from pathlib import Path
from typing import Any

import pytest

from cfack_bench.cases import expand
from cfack_bench.suite_file import load_suite, suite_from, suite_names
from cfack_runtime.errors import ConfigError
from cfack_runtime.manifest import Geometry


def test_the_shipped_suites_are_found_by_name_and_read() -> None:
    assert {"quick", "full"} <= set(suite_names())
    assert load_suite("full").rounds > 1


def test_a_suite_of_ones_own_is_read_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("rounds = 2\n[image_encoding]\nbatch = [3]\n")

    suite = load_suite(path)

    assert (suite.rounds, suite.query) == (2, None)
    assert suite.image_encoding is not None
    assert suite.image_encoding.batch == (3,)


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        suite_from({"round": 1, "visit_seconds": "long", "query": {"candidates": [-1], "image": 3}})

    message = str(caught.value)
    assert "unknown key round;" in message
    assert "visit_seconds: expected a number from 0.001 on, got 'long'" in message
    assert "query.candidates: expected a list of whole numbers from 0 on, got [-1]" in message


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"image_encoding": {"batch": [0]}}, "image_encoding.batch: expected a list of whole numbers from 1"),
        ({"image_encoding": {"batch": []}}, "image_encoding.batch: expected a list of whole numbers from 1"),
        ({"text_encoding": {"tokens": [1]}}, "text_encoding.tokens: expected a list of whole numbers from 2"),
        ({"search": {"k": 0}}, "search.k: expected a whole number from 1 on, got 0"),
        ({"query": {"clients": [0]}}, "query.clients: expected a list of whole numbers from 1 on, got [0]"),
        ({"rounds": True}, "rounds: expected a whole number from 1 on, got True"),
        ({"visit_seconds": float("nan")}, "visit_seconds: expected a number from 0.001 on, got nan"),
        ({"query": {}, "open_loop": {"loads": [0]}}, "open_loop.loads: expected a list of numbers from 0.01"),
        ({"open_loop": {}}, "open_loop needs query"),
        ({"query": 3}, "query: expected a table, got 3"),
        ({"description": 3}, "description: expected text, got 3"),
    ],
)
def test_sizes_that_measure_nothing_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        suite_from(table)

    assert message in str(caught.value)


def test_an_unknown_suite_names_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"no suite 'quik': expected a TOML file or one of full, gpu, large-cpu, quick"
    ):
        load_suite("quik")


def test_text_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("rounds = = 2")

    with pytest.raises(ConfigError, match=r"bad\.toml: not valid TOML"):
        load_suite(path)


def test_texts_are_no_longer_than_the_model_reads(toy_geometry: Geometry) -> None:
    suite = suite_from({"text_encoding": {"tokens": [5, 24, 40]}})

    assert [case.parameters["tokens"] for case in expand(suite, toy_geometry)] == [5, 10]
