"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from cfack.data.loader import build_loader
from cfack.training.distributed import any_process
from cfack.training.interrupt import TrainingInterruptedError, stop_on_signals
from cfack.training.optimizer import set_learning_rate
from cfack.training.reports import (
    EvaluationCallback,
    StepCallback,
    StepReport,
    no_report,
)
from cfack.training.schedule import rate_factor
from cfack.training.state import Position, random_state_kept
from cfack.training.step import train_step
from cfack_runtime.progress import ProgressCallback, no_progress

if TYPE_CHECKING:
    from cfack.data.batch import TrainingBatch
    from cfack.training.run import Run


def run_epochs(
    run: Run,
    progress: ProgressCallback = no_progress,
    on_step: StepCallback = no_report,
    on_evaluation: EvaluationCallback = no_report,
) -> None:
    """Train from the run's position to its last epoch.

    Raises:
        TrainingInterruptedError: Ctrl-C or SIGTERM; the state was saved.
        TrainingError: the numbers are not finite any more.
    """
    config, total = run.config, run.total_steps
    progress(run.position.step, total)
    with stop_on_signals() as stop:
        for epoch in range(run.position.epoch, config.schedule.epochs):
            watch = _Stopwatch()
            for micro_batches in _steps_of_epoch(run, epoch):
                factor = rate_factor(run.position.step, total, config.schedule)
                set_learning_rate(run.optimizer, factor)
                values = train_step(run, micro_batches)
                step, batch = run.position.step + 1, run.position.batch + len(micro_batches)
                run.position = Position(epoch, batch, step)

                speed = watch.count(len(micro_batches) * config.data.batch_size * run.processes.count)
                rate = config.optimizer.learning_rate * factor
                report = StepReport(step, total, epoch + 1, values, rate, speed)
                if step % config.train.log_every == 0:
                    _log(run, report)
                    watch = _Stopwatch()
                on_step(report)
                progress(step, total)

                epoch_done = batch == run.batches_per_epoch
                stopped = any_process(stop.signal is not None)
                due = config.train.save_every and step % config.train.save_every == 0
                if (stopped or due) and not epoch_done:
                    run.save()
                if stopped and not epoch_done:
                    raise TrainingInterruptedError(_interrupted(run, stop.signal))

            # Counted back from the last epoch, which is always evaluated.
            if (config.schedule.epochs - 1 - epoch) % config.train.eval_every == 0:
                if run.selection_split is not None:
                    run.save()  # whatever happens to the evaluation, the epoch is not lost
                evaluation = run.select(epoch + 1)
                if evaluation is not None:
                    on_evaluation(evaluation)
            run.position = Position(epoch + 1, 0, run.position.step)
            run.save()
            if any_process(stop.signal is not None) and epoch + 1 < config.schedule.epochs:
                raise TrainingInterruptedError(_interrupted(run, stop.signal))


def _steps_of_epoch(run: Run, epoch: int) -> Iterator[list[TrainingBatch]]:
    """The micro-batches of each optimiser step, from the run's position on; the last step may have fewer."""
    config = run.config
    loader = build_loader(
        run.training_set,
        config.data.batch_size,
        config.data.num_workers,
        seed=config.train.seed,
        epoch=epoch,
        start_batch=run.position.batch,
        rank=run.processes.rank,
        world_size=run.processes.count,
    )
    batches = iter(loader)
    while True:
        # A loader draws a seed for its workers when it starts, which a resumed run does once more.
        with random_state_kept(run.device):
            micro_batches = list(islice(batches, config.train.accumulate_steps))
        if not micro_batches:
            return
        yield micro_batches


def _log(run: Run, report: StepReport) -> None:
    if run.log is None:
        return
    norm = report.values.gradient_norm
    run.log.write(
        "train",
        report.step,
        epoch=report.epoch,
        loss=report.values.loss,
        terms=report.values.terms,
        learning_rate=report.learning_rate,
        temperature=run.model.temperature.item(),
        gradient_norm=norm if math.isfinite(norm) else None,
        images_per_second=report.images_per_second,
    )


def _interrupted(run: Run, signal: str | None) -> str:
    return (
        f"stopped by {signal or 'a signal to another process'} after step {run.position.step} of "
        f"{run.total_steps}; everything is saved. Continue with:\n  {run.resume_command}"
    )


class _Stopwatch:
    """Images per second since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._images = 0

    def count(self, images: int) -> float:
        self._images += images
        return self._images / max(time.perf_counter() - self._began, 1e-9)
