from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from cfack.config import ExperimentConfig, dump_config, with_overrides
from cfack.training.state import (
    Position,
    TrainingState,
    changed_settings,
    load_state,
    random_state,
    random_state_kept,
    restore_random_state,
    save_state,
    seed_everything,
)
from cfack_runtime.errors import CheckpointError

CPU = torch.device("cpu")
CONFIG = ExperimentConfig()


def draw() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]  # noqa: NPY002 the global generator


@pytest.fixture
def state() -> TrainingState:
    seed_everything(3)
    layer = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return TrainingState(
        model=layer.state_dict(),
        optimizer=optimizer.state_dict(),
        scaler={},
        random=[random_state(CPU)],
        position=Position(epoch=2, batch=5, step=21),
        best_r1=12.5,
        metrics_size=99,
        config=dump_config(CONFIG),
        data_sha256="ab",
        new_parameters=["temperature"],
    )


def test_a_state_comes_back_from_its_file_unchanged(tmp_path: Path, state: TrainingState) -> None:
    save_state(tmp_path / "state.pt", state)
    loaded = load_state(tmp_path / "state.pt")

    assert loaded.position == Position(epoch=2, batch=5, step=21)
    assert (loaded.best_r1, loaded.metrics_size, loaded.data_sha256) == (12.5, 99, "ab")
    assert all(torch.equal(loaded.model[name], value) for name, value in state.model.items())
    assert torch.equal(loaded.optimizer["state"][0]["exp_avg"], state.optimizer["state"][0]["exp_avg"])


def test_the_generators_continue_where_the_file_left_them(tmp_path: Path, state: TrainingState) -> None:
    save_state(tmp_path / "state.pt", state)
    expected = draw()

    draw()
    restore_random_state(load_state(tmp_path / "state.pt").random[0], CPU)

    assert draw() == expected


def test_draws_inside_the_kept_block_change_nothing_outside() -> None:
    seed_everything(1)
    expected = draw()
    seed_everything(1)
    with random_state_kept(CPU):
        draw()

    assert draw() == expected


def test_a_save_that_is_killed_leaves_the_old_state(
    tmp_path: Path, state: TrainingState, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_state(tmp_path / "state.pt", state)

    def killed(table: object, stream: object) -> None:
        stream.write(b"half")  # type: ignore[attr-defined]  # an open file
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        save_state(tmp_path / "state.pt", state)

    assert load_state(tmp_path / "state.pt").position.step == 21


@pytest.mark.parametrize("content", [b"", b"no state at all", b"PK\x03\x04 cut short"])
def test_a_damaged_state_is_an_error_that_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "training_state.pt").write_bytes(content)

    with pytest.raises(CheckpointError, match=r"training_state.pt is no training state.*--checkpoint .*last"):
        load_state(tmp_path / "training_state.pt")


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    torch.save({"format": 999}, tmp_path / "state.pt")

    with pytest.raises(CheckpointError, match="another version of CFACK"):
        load_state(tmp_path / "state.pt")


def test_changes_name_the_setting_and_both_values(state: TrainingState) -> None:
    now = with_overrides(CONFIG, schedule={"epochs": 3}, data={"batch_size": 8})

    assert changed_settings(state, now, "ab", 1) == [
        "data.batch_size: 32 in the run, 8 now",
        "schedule.epochs: 31 in the run, 3 now",
    ]


def test_settings_that_no_weight_depends_on_may_change(state: TrainingState) -> None:
    now = with_overrides(
        CONFIG, train={"log_every": 1, "save_every": 7, "eval_every": 1}, data={"num_workers": 0, "root": "d"}
    )

    assert changed_settings(state, now, "ab", 1) == []


def test_other_annotations_and_another_number_of_processes_are_changes(state: TrainingState) -> None:
    assert changed_settings(state, CONFIG, "cd", 4) == [
        "train.json: its content has changed",
        "processes: 1 in the run, 4 now",
    ]
