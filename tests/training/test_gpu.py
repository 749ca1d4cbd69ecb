"""The loop on a GPU: the same first step in every precision, and a run that resumes bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cfack.config import ExperimentConfig
from cfack.modeling.checkpoint import load_checkpoint
from cfack.training.reports import StepReport
from cfack.training.state import load_state
from cfack.training.train import train

Change = Callable[..., ExperimentConfig]

pytestmark = pytest.mark.gpu


class StoppedError(Exception):
    """Nothing in the library catches it."""


def first_step(config: ExperimentConfig, data_root: Path, out: Path, device: str) -> StepReport:
    """Train one step and stop."""
    seen: list[StepReport] = []

    def on_step(report: StepReport) -> None:
        seen.append(report)
        raise StoppedError

    with pytest.raises(StoppedError):
        train(config, data_root, out, device=device, on_step=on_step)
    return seen[0]


def without_dropout(change: Change, precision: str) -> ExperimentConfig:
    """Dropout draws other numbers on a GPU."""
    config = change(train={"precision": precision, "deterministic": True})
    text = replace(config.model.text, dropout=0.0)
    vision = replace(config.model.vision, drop_path_rate=0.0)
    return replace(config, model=replace(config.model, text=text, vision=vision))


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 0.03), ("fp16", 0.01)])
def test_the_first_loss_is_that_of_a_cpu(
    changed: Change, data_root: Path, tmp_path: Path, precision: str, tolerance: float
) -> None:
    exact = first_step(without_dropout(changed, "fp32"), data_root, tmp_path / "cpu", "cpu")
    found = first_step(without_dropout(changed, precision), data_root, tmp_path / "gpu", "cuda")

    terms = {name: value for name, value in exact.values.terms.items() if name != "matching"}
    assert terms.keys() < found.values.terms.keys()
    # Matching draws its negatives by the device's own generator.
    for name, value in terms.items():
        assert found.values.terms[name] == pytest.approx(value, rel=tolerance), name
    # Loss scaling begins so high that it leaves the first steps in fp16 out.
    assert math.isfinite(found.values.gradient_norm) or precision == "fp16"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_crashed_run_resumes_to_the_same_weights(
    changed: Change, data_root: Path, tmp_path: Path, precision: str
) -> None:
    config = changed(train={"precision": precision, "deterministic": True, "save_every": 1})
    whole, crashed = tmp_path / "whole", tmp_path / "crashed"
    train(config, data_root, whole, device="cuda")

    def crash(report: StepReport) -> None:
        if report.step == 6:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(config, data_root, crashed, device="cuda", on_step=crash)
    assert load_state(crashed / "training_state.pt").position.step == 5
    train(config, data_root, crashed, device="cuda", resume=True)

    weights = [load_checkpoint(path / "last").state_dict() for path in (whole, crashed)]
    assert [name for name, value in weights[0].items() if not value.equal(weights[1][name])] == []
