from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cfack.config import ExperimentConfig, OptimizerConfig
from cfack.training.objective import Losses
from cfack.training.precision import Precision
from cfack.training.state import Position
from cfack.training.step import train_step
from cfack_runtime.errors import TrainingError


class Slope(nn.Module):
    """Its loss is `weight * batch`, so the gradient is the batch itself."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, batch: Tensor) -> Losses:
        loss = self.weight * batch
        return Losses(loss, {"slope": loss.detach() + batch, "constant": torch.tensor(2.0)})


class Root(nn.Module):
    """Its loss is finite at a weight of 0, its gradient is not, whatever the scale."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, batch: Tensor) -> Losses:
        loss = self.weight.sqrt() * batch
        return Losses(loss, {"root": loss.detach()})


@pytest.fixture
def make_run() -> Callable[..., Any]:
    """What `train_step` uses of a run, around a model with one weight and plain gradient descent."""

    def make(clip_norm: float | None = None, scaler: torch.amp.GradScaler | None = None) -> SimpleNamespace:
        module = Slope()
        moves: list[bool] = []
        return SimpleNamespace(
            config=ExperimentConfig(optimizer=OptimizerConfig(clip_norm=clip_norm)),
            device=torch.device("cpu"),
            precision=Precision("fp32", "cpu"),
            model=module,
            module=module,
            objective=SimpleNamespace(
                before_step=lambda model, first_micro_batch, share_done: moves.append(first_micro_batch)
            ),
            moves=moves,
            optimizer=torch.optim.SGD(module.parameters(), lr=1.0),
            scaler=scaler or torch.amp.GradScaler("cpu", enabled=False),
            position=Position(step=6),
            total_steps=10,
            saved_text="last holds the weights after step 5",
        )

    return make


def batches(*values: float) -> list[Any]:
    return [torch.tensor(value) for value in values]


def test_the_gradient_is_the_mean_over_the_micro_batches(make_run: Callable[..., Any]) -> None:
    run = make_run()

    values = train_step(run, batches(1.0, 2.0, 6.0))

    assert run.module.weight.item() == -3.0
    assert values.gradient_norm == 3.0
    assert values.terms == {"slope": 3.0, "constant": 2.0}
    assert run.module.weight.grad is None


def test_the_objective_hears_which_micro_batch_is_the_first_of_a_step(make_run: Callable[..., Any]) -> None:
    run = make_run()

    train_step(run, batches(1.0, 1.0))
    train_step(run, batches(1.0))

    assert run.moves == [True, False, True]


def test_a_long_gradient_is_cut_to_the_norm_and_reported_whole(make_run: Callable[..., Any]) -> None:
    run = make_run(clip_norm=1.0)

    values = train_step(run, batches(8.0))

    assert run.module.weight.item() == pytest.approx(-1.0)
    assert values.gradient_norm == 8.0


@pytest.mark.parametrize("gradient", [math.inf, math.nan])
def test_a_gradient_that_is_not_finite_is_not_applied(make_run: Callable[..., Any], gradient: float) -> None:
    run = make_run()

    with pytest.raises(TrainingError, match=r"step 7 gave no finite numbers: .*last holds .* after step 5"):
        train_step(run, batches(1.0, gradient))
    assert run.module.weight.item() == 0.0


def test_loss_scaling_leaves_a_step_out_whose_scaled_gradient_overflows(make_run: Callable[..., Any]) -> None:
    run = make_run(scaler=torch.amp.GradScaler("cpu", init_scale=2.0**127))

    left_out = train_step(run, batches(8.0))
    assert run.module.weight.item() == 0.0
    assert math.isinf(left_out.gradient_norm)
    assert run.scaler.get_scale() == 2.0**126

    for _ in range(3):
        train_step(run, batches(8.0))
    assert run.module.weight.item() == -8.0  # 2^124 * 8 is the first one that float32 holds


def test_loss_scaling_that_never_finds_a_finite_gradient_gives_up(make_run: Callable[..., Any]) -> None:
    run = make_run(scaler=torch.amp.GradScaler("cpu", init_scale=1.0))
    run.module = Root(run.module.weight)

    train_step(run, batches(1.0))
    with pytest.raises(TrainingError, match=r'gradient norm inf.*train.precision = "bf16" or "fp32"'):
        train_step(run, batches(1.0))
    assert run.module.weight.item() == 0.0
