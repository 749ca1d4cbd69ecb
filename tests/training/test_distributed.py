"""Two processes on one machine, connected by gloo as `torchrun` would connect them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cfack.config import ExperimentConfig, dump_config, parse_config, with_overrides
from cfack.data.batch import TrainingBatch
from cfack.losses import HardNegatives
from cfack.modeling import build_model
from cfack.training.distributed import (
    Processes,
    any_process,
    from_main,
    gather,
    gather_objects,
    mean_over_processes,
    processes_from_environment,
)
from cfack.training.metrics_log import read_metrics
from cfack.training.objective import Objective
from cfack.training.state import Position, load_state
from cfack.training.train import train
from cfack_runtime.errors import ConfigError, UsageError

PAIRS = 4
# Rows among all pairs: each process also takes negatives of the other one.
NEGATIVES = {"image": [2, 3, 1, 1], "text": [1, 2, 0, 2]}

# All that needs a second process, in one script: starting one costs seconds.
SCRIPT = """
import sys
from pathlib import Path
import torch
from torch.nn.parallel import DistributedDataParallel
from cfack.config import load_config, parse_config
from cfack.data.batch import TrainingBatch
from cfack.losses import HardNegatives
from cfack.modeling import build_model
from cfack.training.distributed import *
from cfack.training.objective import Objective
from cfack.training.run import LossModule
from cfack.training.train import train

out, data = Path(sys.argv[1]), Path(sys.argv[2])
processes = processes_from_environment()
rank = processes.rank
with process_group(processes):
    helpers = {
        "is_main": processes.is_main,
        "any": [any_process(rank == 1), any_process(False)],
        "from_main": from_main({"rank": rank}),
        "objects": gather_objects(("process", rank)),
        "mean": mean_over_processes(torch.tensor([1.0 + rank, 4.0])).tolist(),
        "identity": gather(torch.tensor([10 * rank, 10 * rank + 1])).tolist(),
    }
    local = torch.tensor([1.0 + rank], requires_grad=True)
    # Each process uses what it gathered in its own way.
    (gather(local) * torch.tensor([[2.0, 3.0], [20.0, 30.0]])[rank]).sum().backward()
    helpers["gradient"] = local.grad.tolist()

    case = torch.load(out / "case.pt")
    config = parse_config(case["config"])
    model = build_model(config.model)
    model.load_state_dict(case["model"])
    half = len(case["batch"]["identity"]) // 2
    rows = slice(rank * half, (rank + 1) * half)
    batch = TrainingBatch(**{name: values[rows] for name, values in case["batch"].items()})
    negatives = HardNegatives(**{name: values[rows] for name, values in case["negatives"].items()})
    module = LossModule(model, Objective(config, gather))
    module.forward = lambda batch: module.objective(model, batch, negatives)
    distributed = DistributedDataParallel(module)
    distributed(batch).total.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    torch.save({"helpers": helpers, "gradients": gradients}, out / f"{rank}.pt")

    class Stop(Exception):
        pass

    def stop(report):
        if report.step == 3:
            raise Stop

    config = load_config(out / "config.toml")
    train(config, data, out / "whole", device="cpu")
    try:
        train(config, data, out / "stopped", device="cpu", on_step=stop)
    except Stop:
        train(config, data, out / "stopped", device="cpu", resume=True)
"""


@pytest.fixture(scope="module")
def two_process_config(config: ExperimentConfig) -> ExperimentConfig:
    return with_overrides(config, train={"save_every": 1}, data={"batch_size": 1})


@pytest.fixture(scope="module")
def case(config: ExperimentConfig) -> dict[str, Any]:
    """A model, a batch and its negatives; no dropout, since each process would draw its own."""
    torch.manual_seed(0)
    text = replace(config.model.text, dropout=0.0)
    vision = replace(config.model.vision, drop_path_rate=0.0)
    config = replace(config, model=replace(config.model, vision=vision, text=text, num_identities=3))
    batch = {
        "image_weak": torch.randn(PAIRS, 3, 16, 8),
        "image_strong": torch.randn(PAIRS, 3, 16, 8),
        "image_cnn": torch.randn(PAIRS, 3, 32, 32),
        "original_ids": torch.randint(5, 80, (PAIRS, 12)),
        "original_mask": torch.ones(PAIRS, 12, dtype=torch.int64),
        "augmented_ids": torch.randint(5, 80, (PAIRS, 12)),
        "augmented_mask": torch.ones(PAIRS, 12, dtype=torch.int64),
        "masked_ids": torch.randint(5, 80, (PAIRS, 12)),
        "masked_positions": torch.randint(1, 11, (PAIRS, 3)),
        "masked_labels": torch.randint(5, 80, (PAIRS, 3)),
        "identity": torch.tensor([0, 1, 2, 0]),
    }
    valid = torch.ones(PAIRS, dtype=torch.bool)
    negatives = {name: torch.tensor(rows) for name, rows in NEGATIVES.items()}
    return {
        "config": dump_config(config),
        "model": build_model(config.model).state_dict(),
        "batch": batch,
        "negatives": {**negatives, "image_valid": valid, "text_valid": valid},
    }


@pytest.fixture(scope="module")
def two_processes(
    two_process_config: ExperimentConfig,
    case: dict[str, Any],
    data_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder in which two processes left what SCRIPT found."""
    out = tmp_path_factory.mktemp("processes")
    torch.save(case, out / "case.pt")
    (out / "config.toml").write_text(dump_config(two_process_config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(out), str(data_root)],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=240)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return out


def test_one_process_needs_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    values = torch.ones(3, requires_grad=True)

    assert processes_from_environment() == Processes(rank=0, count=1, local_rank=0)
    assert gather(values) is values
    assert mean_over_processes(values) is values
    assert any_process(True)
    assert gather_objects("a") == ["a"]
    assert from_main("a") == "a"


def test_half_an_environment_is_an_error_that_says_how_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)

    with pytest.raises(ConfigError, match=r"torchrun --nproc-per-node N -m cfack train"):
        processes_from_environment()


def test_the_helpers_across_two_processes(two_processes: Path) -> None:
    first, second = (torch.load(two_processes / f"{rank}.pt")["helpers"] for rank in (0, 1))

    assert (first["is_main"], second["is_main"]) == (True, False)
    # The gradient is summed over what both processes did with the slice: 2 + 20 and 3 + 30.
    assert (first["gradient"], second["gradient"]) == ([22.0], [33.0])
    for found in (first, second):
        assert found["any"] == [True, False]
        assert found["from_main"] == {"rank": 0}
        assert found["objects"] == [("process", 0), ("process", 1)]
        assert found["mean"] == [1.5, 4.0]
        assert found["identity"] == [0, 1, 10, 11]


def test_two_processes_with_half_the_batch_give_the_gradients_of_one(
    two_processes: Path, case: dict[str, Any]
) -> None:
    config = parse_config(case["config"])
    model = build_model(config.model)
    model.load_state_dict(case["model"])
    losses = Objective(config)(model, TrainingBatch(**case["batch"]), HardNegatives(**case["negatives"]))
    losses.total.backward()
    expected = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    first, second = (torch.load(two_processes / f"{rank}.pt")["gradients"] for rank in (0, 1))
    assert first.keys() == second.keys() == expected.keys()
    assert all(torch.equal(first[name], second[name]) for name in expected)
    scale = max(gradient.abs().max().item() for gradient in expected.values())
    differences = {name: (first[name] - value).abs().max().item() for name, value in expected.items()}
    assert max(differences.values()) < 1e-5 * scale, max(differences, key=differences.__getitem__)


def test_two_processes_stopped_and_resumed_end_with_the_same_weights(two_processes: Path) -> None:
    whole, stopped = (load_state(two_processes / name / "training_state.pt") for name in ("whole", "stopped"))

    assert whole.position == stopped.position == Position(epoch=2, batch=0, step=8)
    assert all(torch.equal(whole.model[name], stopped.model[name]) for name in whole.model)
    assert len(whole.random) == 2
    assert not torch.equal(whole.random[0]["torch"], whole.random[1]["torch"])


def test_only_the_first_process_writes(two_processes: Path) -> None:
    records = read_metrics(two_processes / "stopped" / "metrics.jsonl")

    assert [record["step"] for record in records if record["kind"] == "train"] == list(range(1, 9))
    assert [record["epoch"] for record in records if record["kind"] == "evaluation"] == [1, 2]


def test_a_run_is_not_resumed_with_another_number_of_processes(
    two_processes: Path, two_process_config: ExperimentConfig, data_root: Path
) -> None:
    with pytest.raises(UsageError, match="processes: 2 in the run, 1 now"):
        train(two_process_config, data_root, two_processes / "whole", device="cpu", resume=True)
