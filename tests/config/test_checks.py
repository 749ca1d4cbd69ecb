from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import pytest

from cfack.config import ExperimentConfig, parse_config
from cfack_runtime.errors import ConfigError


def numbers() -> Iterator[tuple[str, float]]:
    """Every number of a configuration by its place, `model.vision.depth`."""

    def walk(table: dict[str, object], place: str) -> Iterator[tuple[str, float]]:
        for name, value in table.items():
            if isinstance(value, dict):
                yield from walk(value, f"{place}{name}.")
            elif isinstance(value, int | float) and not isinstance(value, bool):
                yield f"{place}{name}", value

    return walk(asdict(ExperimentConfig()), "")


def toml(place: str, value: object) -> str:
    table, _, key = place.rpartition(".")
    return f"[{table}]\n{key} = {value}"


@pytest.mark.parametrize(("place", "default"), list(numbers()))
def test_no_number_may_be_negative_or_infinite(place: str, default: float) -> None:
    impossible = ["-1"] if isinstance(default, int) else ["-1.0", "inf", "nan"]
    for value in impossible:
        with pytest.raises(ConfigError, match=place.rpartition(".")[2]):
            parse_config(toml(place, value))


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        ("data.batch_size", 0, "data.batch_size: expected at least 1, got 0"),
        ("train.rerank", -1, "train.rerank: expected at least 0, got -1"),
        ("schedule.warmup_fraction", 2, "schedule.warmup_fraction: expected a number from 0 to 1, got 2.0"),
        ("optimizer.beta2", 1, "optimizer.beta2: expected a number from 0 to below 1, got 1.0"),
        ("optimizer.clip_norm", 0, "optimizer.clip_norm: expected a number above 0, got 0.0"),
        ("model.vision.patch_size", 0, "model.vision.patch_size: expected at least 1, got 0"),
        ("augment.weak", '"mirror"', "augment.weak: expected one of resize, flip, got 'mirror'"),
    ],
)
def test_a_value_that_cannot_train_says_what_may_stand_there(
    place: str, value: object, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(toml(place, value), "mine.toml")
    assert str(caught.value) == f"mine.toml:\n  - {expected}"


def test_all_wrong_values_of_a_table_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config("[data]\nbatch_size = 0\nnum_workers = -2")
    assert str(caught.value).splitlines()[1:] == [
        "  - data.batch_size: expected at least 1, got 0",
        "  - data.num_workers: expected at least 0, got -2",
    ]


def test_limits_themselves_are_allowed() -> None:
    config = parse_config(
        "[schedule]\nwarmup_fraction = 1\n[train]\nrerank = 0\n[loss]\nhard_negative_warmup = 2.5\n"
        '[optimizer]\nvision_learning_rate = 0\nclip_norm = "none"'
    )
    assert (config.schedule.warmup_fraction, config.train.rerank) == (1.0, 0)
    assert (config.optimizer.vision_learning_rate, config.optimizer.clip_norm) == (0.0, None)
