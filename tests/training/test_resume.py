from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cfack.config import ExperimentConfig, dump_config
from cfack.modeling.checkpoint import load_checkpoint
from cfack.training.interrupt import TrainingInterruptedError
from cfack.training.metrics_log import read_metrics
from cfack.training.reports import StepReport
from cfack.training.state import TrainingState, load_state, save_state
from cfack.training.train import train
from cfack_runtime.errors import CheckpointError, ImageError, UsageError

Change = Callable[..., ExperimentConfig]

KILLED = """
import sys, time
from pathlib import Path
from cfack.config import load_config
from cfack.training.train import train

train(load_config(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), device="cpu")
"""


class PowerCutError(Exception):
    """Nothing in the library catches it."""


@pytest.fixture(scope="module")
def uninterrupted(
    config: ExperimentConfig, data_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted")
    train(config, data_root, out, device="cpu")
    return out


def crash_after(step: int) -> Callable[[StepReport], None]:
    def on_step(report: StepReport) -> None:
        if report.step == step:
            raise PowerCutError

    return on_step


def tensors(value: object, name: str = "") -> dict[str, torch.Tensor]:
    """All tensors inside a nest of containers, by their path."""
    if isinstance(value, torch.Tensor):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path: tensor for key, inner in items for path, tensor in tensors(inner, f"{name}/{key}").items()}


def contents(state: TrainingState) -> dict[str, torch.Tensor]:
    return tensors({"model": state.model, "optimizer": state.optimizer, "random": state.random})


def assert_same_end(first: Path, second: Path) -> None:
    """Weights, optimiser and generators agree bit for bit, and so does the chosen checkpoint."""
    states = [load_state(path / "training_state.pt") for path in (first, second)]
    before, after = map(contents, states)
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert states[0].position == states[1].position
    assert states[0].best_r1 == states[1].best_r1
    best = [load_checkpoint(path / "best").state_dict() for path in (first, second)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])
    steps = [
        [r["step"] for r in read_metrics(p / "metrics.jsonl") if r["kind"] == "train"]
        for p in (first, second)
    ]
    assert steps[0] == steps[1]
    losses = [
        [r["loss"] for r in read_metrics(p / "metrics.jsonl") if r["kind"] == "train"]
        for p in (first, second)
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("save_every", "crash", "resumed_from"),
    [(0, 2, 0), (2, 3, 2), (1, 6, 5), (3, 5, 4)],
    ids=["before the first save", "inside epoch 1", "inside epoch 2", "after the end of epoch 1"],
)
def test_a_crashed_run_resumes_to_the_same_weights(
    changed: Change,
    data_root: Path,
    uninterrupted: Path,
    tmp_path: Path,
    save_every: int,
    crash: int,
    resumed_from: int,
) -> None:
    out = tmp_path / "out"
    config = changed(train={"save_every": save_every})
    with pytest.raises(PowerCutError):
        train(config, data_root, out, device="cpu", on_step=crash_after(crash))
    assert load_state(out / "training_state.pt").position.step == resumed_from

    seen: list[int] = []
    train(config, data_root, out, device="cpu", resume=True, on_step=lambda report: seen.append(report.step))

    assert seen == list(range(resumed_from + 1, 9))
    assert_same_end(uninterrupted, out)


def test_two_crashes_and_loader_workers_change_nothing(
    changed: Change, data_root: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    config = changed(train={"save_every": 1}, data={"num_workers": 1})
    for step in (3, 6):
        with pytest.raises(PowerCutError):
            train(config, data_root, out, device="cpu", resume=True, on_step=crash_after(step))
    train(config, data_root, out, device="cpu", resume=True)

    assert_same_end(uninterrupted, out)


def test_an_image_that_cannot_be_evaluated_costs_no_epoch(
    config: ExperimentConfig, data_root: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    out, data = tmp_path / "out", Path(shutil.copytree(data_root, tmp_path / "data"))
    damaged = data / "imgs" / "val" / "1_0.png"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:50])
    with pytest.raises(ImageError, match=r"1_0\.png"):
        train(config, data, out, device="cpu")
    assert load_state(out / "training_state.pt").position.step == 4

    damaged.write_bytes(whole)
    seen: list[int] = []
    train(config, data, out, device="cpu", resume=True, on_step=lambda report: seen.append(report.step))

    assert seen == [5, 6, 7, 8]
    assert_same_end(uninterrupted, out)


def test_a_crash_between_the_evaluation_and_the_save_repeats_the_evaluation(
    config: ExperimentConfig,
    data_root: Path,
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"

    def crash(report: object) -> None:
        raise PowerCutError

    with pytest.raises(PowerCutError):
        train(config, data_root, out, device="cpu", on_evaluation=crash)
    train(config, data_root, out, device="cpu", resume=True)

    assert_same_end(uninterrupted, out)
    kinds = [record["kind"] for record in read_metrics(out / "metrics.jsonl")]
    assert kinds.count("evaluation") == 2


def test_a_crash_inside_a_save_leaves_what_can_be_resumed(
    changed: Change, data_root: Path, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    config = changed(train={"save_every": 1})
    saves = []

    def save_or_die(path: Path, state: TrainingState) -> None:
        saves.append(state.position.step)
        if saves[-1] == 3:
            raise PowerCutError
        save_state(path, state)

    monkeypatch.setattr("cfack.training.run.save_state", save_or_die)
    with pytest.raises(PowerCutError):
        train(config, data_root, out, device="cpu")
    monkeypatch.undo()
    (out / ".training_state.pt.tmp").write_bytes(b"half")
    (out / ".last.new").mkdir()
    (out / ".last.new" / "model.safetensors").write_bytes(b"half")
    load_checkpoint(out / "last")

    train(config, data_root, out, device="cpu", resume=True)

    assert_same_end(uninterrupted, out)
    assert not list(out.glob(".*"))


def test_a_process_killed_inside_a_step_resumes_to_the_same_weights(
    changed: Change, data_root: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    config = changed(train={"save_every": 1})
    (tmp_path / "config.toml").write_text(dump_config(config))
    arguments = [str(tmp_path / "config.toml"), str(data_root), str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    try:
        metrics = out / "metrics.jsonl"
        while not (metrics.exists() and len(read_metrics(metrics)) >= 3):
            assert process.poll() is None, "the run ended before it was killed"
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 2 <= load_state(out / "training_state.pt").position.step < 8
    load_checkpoint(out / "last")

    train(config, data_root, out, device="cpu", resume=True)

    assert_same_end(uninterrupted, out)


@pytest.mark.parametrize(("number", "step"), [(signal.SIGTERM, 3), (signal.SIGINT, 4)])
def test_a_signal_saves_and_says_how_to_continue(
    config: ExperimentConfig,
    data_root: Path,
    uninterrupted: Path,
    tmp_path: Path,
    number: signal.Signals,
    step: int,
) -> None:
    out = tmp_path / "out"

    def on_step(report: StepReport) -> None:
        if report.step == step:
            os.kill(os.getpid(), number)

    with pytest.raises(TrainingInterruptedError) as caught:
        train(config, data_root, out, device="cpu", on_step=on_step)

    assert caught.value.exit_code == 130
    assert str(caught.value) == (
        f"stopped by {number.name} after step {step} of 8; everything is saved. Continue with:\n"
        f"  cfack train --config {out}/config.toml --output-dir {out} --resume"
    )
    assert load_state(out / "training_state.pt").position.step == step
    train(config, data_root, out, device="cpu", resume=True)
    assert_same_end(uninterrupted, out)


def test_resuming_a_finished_run_does_nothing_and_gives_its_result(
    config: ExperimentConfig, data_root: Path, uninterrupted: Path
) -> None:
    before = load_state(uninterrupted / "training_state.pt")
    steps: list[StepReport] = []

    result = train(config, data_root, uninterrupted, device="cpu", resume=True, on_step=steps.append)

    assert steps == []
    assert (result.steps, result.epochs, result.best_r1) == (8, 2, before.best_r1)


def test_resume_starts_a_run_where_there_is_none(
    config: ExperimentConfig, data_root: Path, tmp_path: Path
) -> None:
    assert (
        train(config, data_root, tmp_path / "new", device="cpu", resume=True, pick_best_r1=False).steps == 8
    )


def test_a_folder_that_is_not_empty_is_refused_without_resume(
    config: ExperimentConfig, data_root: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is not empty; continue its run with --resume, or give another"):
        train(config, data_root, uninterrupted, device="cpu")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds files but no run to resume"):
        train(config, data_root, tmp_path, device="cpu", resume=True)
    with pytest.raises(UsageError, match="is a file; give a folder"):
        train(config, data_root, tmp_path / "notes.txt", device="cpu")


def test_a_run_is_not_resumed_with_other_settings(
    changed: Change, data_root: Path, uninterrupted: Path
) -> None:
    config = changed(schedule={"epochs": 9}, optimizer={"clip_norm": None}, train={"log_every": 3})

    with pytest.raises(UsageError) as caught:
        train(config, data_root, uninterrupted, device="cpu", resume=True)

    assert str(caught.value).splitlines()[1:3] == [
        "  - optimizer.clip_norm: 1.0 in the run, None now",
        "  - schedule.epochs: 2 in the run, 9 now",
    ]
    assert "log_every" not in str(caught.value)


def test_a_run_is_not_resumed_on_other_data(
    config: ExperimentConfig, data_root: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    text = (data_root / "train.json").read_text()
    (tmp_path / "train.json").write_text(text.replace("black shoes", "brown shoes"))

    with pytest.raises(UsageError, match="train.json: its content has changed"):
        train(config, tmp_path, uninterrupted, device="cpu", resume=True, pick_best_r1=False)


def test_a_damaged_state_is_named(
    config: ExperimentConfig, data_root: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text("")
    (tmp_path / "training_state.pt").write_bytes((uninterrupted / "training_state.pt").read_bytes()[:1000])

    with pytest.raises(CheckpointError, match=r"training_state.pt is no training state that can be read"):
        train(config, data_root, tmp_path, device="cpu", resume=True)
