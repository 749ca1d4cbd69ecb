"""One optimiser step: micro-batches forward and backward, then one update of the weights."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from cfack.training.distributed import mean_over_processes
from cfack.training.reports import StepValues
from cfack_runtime.errors import TrainingError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cfack.data.batch import TrainingBatch
    from cfack.training.objective import Losses
    from cfack.training.run import Run

MIN_LOSS_SCALE = 1.0
"""Loss scaling that has fallen below this finds no finite fp16 gradients any more."""


def train_step(run: Run, micro_batches: list[TrainingBatch]) -> StepValues:
    """Do one optimiser step with the learning rates that the optimiser has now.

    Args:
        run: its model, optimiser and loss scale move.
        micro_batches: their gradients are averaged.

    Raises:
        TrainingError: the loss or the gradients are not finite; no weight has been changed then.
    """
    share = 1.0 / len(micro_batches)
    measured: list[Tensor] = []
    names: list[str] = []
    for index, batch in enumerate(micro_batches):
        run.objective.before_step(
            run.model,
            first_micro_batch=index == 0,
            share_done=run.position.step / run.total_steps,
        )
        with _gradients_exchanged(run, index == len(micro_batches) - 1):
            with run.precision.autocast():
                losses: Losses = run.module(batch.to(run.device))
            torch.autograd.backward(run.scaler.scale(losses.total * share))
        names = list(losses.terms)
        measured.append(torch.stack([losses.total.detach(), *losses.terms.values()]).float())

    run.scaler.unscale_(run.optimizer)
    limit = run.config.optimizer.clip_norm or math.inf
    norm = clip_grad_norm_([p for group in run.optimizer.param_groups for p in group["params"]], limit)
    means = mean_over_processes(torch.cat([torch.stack(measured).mean(dim=0), norm.float()[None]]))
    loss, *terms, gradient_norm = means.tolist()
    values = StepValues(loss, dict(zip(names, terms, strict=True)), gradient_norm)
    _check_finite(run, values)

    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.optimizer.zero_grad(set_to_none=True)
    return values


def _gradients_exchanged(run: Run, exchanged: bool) -> AbstractContextManager[None]:
    """DistributedDataParallel averages gradients over the processes once a step, in its last backward."""
    if isinstance(run.module, DistributedDataParallel) and not exchanged:
        return run.module.no_sync()
    return nullcontext()


def _check_finite(run: Run, values: StepValues) -> None:
    left_out = run.scaler.is_enabled() and run.scaler.get_scale() >= MIN_LOSS_SCALE
    if math.isfinite(values.loss) and (math.isfinite(values.gradient_norm) or left_out):
        return
    terms = ", ".join(f"{name} {value:.4g}" for name, value in values.terms.items())
    raise _not_finite(run, f"loss {values.loss:.4g} ({terms}), gradient norm {values.gradient_norm:.4g}")


def _not_finite(run: Run, what: str) -> TrainingError:
    precise = '"bf16" or "fp32"' if run.scaler.is_enabled() else '"fp32"'
    return TrainingError(
        f"step {run.position.step + 1} gave no finite numbers: {what}. It was not applied and nothing was "
        f"overwritten: {run.saved_text}. Lower optimizer.learning_rate, lengthen schedule.warmup_fraction, "
        f"set optimizer.clip_norm, or train.precision = {precise}"
    )
