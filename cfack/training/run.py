"""A training run: everything that its loop works with, and what it saves."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cfack.config import ExperimentConfig, dump_config
from cfack.data.loader import batches_per_epoch
from cfack.evaluation import evaluate
from cfack.modeling import CFACK
from cfack.training.distributed import Processes, from_main, gather_objects
from cfack.training.folder import RunFolder, keep_checkpoint
from cfack.training.metrics_log import MetricsLog
from cfack.training.objective import Losses, Objective
from cfack.training.precision import Precision
from cfack.training.reports import EvaluationReport
from cfack.training.state import (
    Position,
    TrainingState,
    random_state,
    random_state_kept,
    restore_random_state,
    save_state,
)

if TYPE_CHECKING:
    from cfack.data.annotations import Split
    from cfack.data.batch import TrainingBatch
    from cfack.data.dataset import TrainingSet
    from cfack_runtime.tokenizer import CaptionTokenizer


class LossModule(nn.Module):
    """The model and its objective as one module, which is what DistributedDataParallel wraps."""

    def __init__(self, model: CFACK, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: TrainingBatch) -> Losses:
        """Run one micro-batch of B pairs."""
        return cast("Losses", self.objective(self.model, batch))


@dataclass
class Run:
    """Everything that the loop works with; built by `cfack.training.setup`."""

    config: ExperimentConfig
    folder: RunFolder
    processes: Processes
    device: torch.device
    precision: Precision
    tokenizer: CaptionTokenizer
    training_set: TrainingSet
    data_sha256: str
    selection_split: Split | None
    """The split whose R@1 chooses the best checkpoint; None: there is no such choice."""
    model: CFACK
    new_parameters: list[str]
    """Names that the starting checkpoint did not hold."""
    objective: Objective
    module: LossModule | DistributedDataParallel
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    position: Position = field(default_factory=Position)
    best_r1: float | None = None
    log: MetricsLog | None = None
    """Of the main process, which evaluates and writes files."""
    saved_step: int | None = None

    @property
    def batches_per_epoch(self) -> int:
        """Micro-batches of each process; pairs that fill no batch of every process wait for another epoch."""
        return batches_per_epoch(len(self.training_set), self.config.data.batch_size, self.processes.count)

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run; the last one of an epoch may have fewer micro-batches."""
        per_epoch = -(-self.batches_per_epoch // self.config.train.accumulate_steps)
        return per_epoch * self.config.schedule.epochs

    @property
    def resume_command(self) -> str:
        """What to type to continue."""
        start = (
            "cfack"
            if self.processes.count == 1
            else f"torchrun --nproc-per-node {self.processes.count} -m cfack"
        )
        choice = "" if self.selection_split is not None else " --no-pick-best-r1"
        return f"{start} train --config {self.folder.config} --output-dir {self.folder.path} --resume{choice}"

    @property
    def saved_text(self) -> str:
        """Where the last save is, for messages."""
        if self.saved_step is None:
            return "nothing was saved yet"
        return f"{self.folder.last} holds the weights after step {self.saved_step}"

    def save(self) -> None:
        """Write `last/`, then the state; a kill in between leaves two files that can both be used."""
        random = gather_objects(random_state(self.device))
        self.saved_step = self.position.step
        if self.log is None:
            return
        keep_checkpoint(self.folder.last, self.model, self.config, self.tokenizer)
        state = TrainingState(
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scaler=self.scaler.state_dict(),
            random=random,
            position=self.position,
            best_r1=self.best_r1,
            metrics_size=self.log.size(),
            config=dump_config(self.config),
            data_sha256=self.data_sha256,
            new_parameters=self.new_parameters,
        )
        save_state(self.folder.state, state)

    def restore(self, state: TrainingState) -> None:
        """Continue from a state of this run."""
        self.model.load_state_dict(state.model)
        self.optimizer.load_state_dict(state.optimizer)
        self.scaler.load_state_dict(state.scaler)
        self.position, self.best_r1, self.saved_step = state.position, state.best_r1, state.position.step
        restore_random_state(state.random[self.processes.rank], self.device)

    def select(self, epoch: int) -> EvaluationReport | None:
        """Evaluate, and keep the weights if they are the best so far; the main process does it for all.

        Returns:
            What was measured after `epoch` epochs, or None where there is no split to choose on.
        """
        if self.selection_split is None:
            return None
        r1 = from_main(self._evaluate(self.selection_split, epoch, self.log) if self.log else 0.0)
        is_best = self.best_r1 is None or r1 > self.best_r1
        if is_best:
            self.best_r1 = r1
            if self.log is not None:
                keep_checkpoint(self.folder.best, self.model, self.config, self.tokenizer)
        return EvaluationReport(epoch, r1, is_best)

    def _evaluate(self, split: Split, epoch: int, log: MetricsLog) -> float:
        # The generators are kept, so that the weights do not depend on how often there was an evaluation.
        with random_state_kept(self.device), self.precision.autocast():
            result = evaluate(
                self.model,
                self.tokenizer,
                split,
                rerank=self.config.train.rerank,
                device=self.device,
                batch_size=self.config.data.eval_batch_size,
            )
        tables = {"dual": asdict(result.dual)}
        if result.reranked is not None:
            tables["reranked"] = asdict(result.reranked)
        log.write("evaluation", self.position.step, epoch=epoch, split=split.name, **tables)
        chosen = result.reranked or result.dual
        return chosen.r1
