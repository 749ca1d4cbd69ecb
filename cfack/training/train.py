"""Train a model: one call from a configuration and a data folder to checkpoints."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from cfack.config import ExperimentConfig
from cfack.training.distributed import process_group, processes_from_environment
from cfack.training.folder import RunFolder
from cfack.training.loop import run_epochs
from cfack.training.precision import choose_device
from cfack.training.reports import EvaluationCallback, StepCallback, no_report
from cfack.training.setup import build_run
from cfack_runtime.errors import TrainingError, UsageError
from cfack_runtime.progress import ProgressCallback, no_progress

CPU_OUT_OF_MEMORY = "can't allocate memory"
"""What torch's allocator says; on a CPU it has no exception class of its own."""


@dataclass(frozen=True)
class TrainResult:
    """Where a finished run left its checkpoints."""

    best_checkpoint: Path | None
    """The weights with the best R@1; None where none were chosen."""
    last_checkpoint: Path
    best_r1: float | None
    """Percent, on the split that chose; re-ranked if `train.rerank` is not 0."""
    steps: int
    epochs: int
    seconds: float
    """Of this call; a resumed run's earlier part does not count."""


def train(
    config: ExperimentConfig,
    data_root: Path,
    output_dir: Path,
    checkpoint: Path | None = None,
    tokenizer: str | None = None,
    *,
    resume: bool = False,
    pick_best_r1: bool = True,
    device: str = "auto",
    progress: ProgressCallback = no_progress,
    on_step: StepCallback = no_report,
    on_evaluation: EvaluationCallback = no_report,
) -> TrainResult:
    """Train from a checkpoint, or from random weights.

    Under `torchrun` every process calls this; the first one evaluates and writes. The output folder gets
    `config.toml`, `last/`, `best/`, `training_state.pt` and `metrics.jsonl` (docs/training.md).

    Args:
        config: model, data, objective, optimiser, schedule and loop.
        data_root: folder with `train.json` and, to choose the best weights, `val.json`
            (`config.switches.select_on_test`: `test.json`).
        output_dir: empty or new, unless `resume`.
        checkpoint: starting weights: a checkpoint folder, a released CFACK file or an X²-VLM file. A run that
            is resumed has its own.
        tokenizer: folder, tokenizer.json, vocab.txt or hub name; goes before the checkpoint's and the
            configuration's.
        resume: continue from the saved state; where there is none yet, start.
        pick_best_r1: evaluate every `train.eval_every` epochs and keep the weights with the best R@1.
        device: "auto", "cpu", "cuda" or "cuda:N".
        progress: gets optimiser steps done and in all, over the whole run.
        on_step: gets a report after each optimiser step.
        on_evaluation: gets a report after each evaluation.

    Raises:
        UsageError: the folder cannot be written to as asked, or a resumed run's settings have changed.
        ConfigError: device, precision or numbers of the configuration do not work here.
        DataError: a split is missing, wrong or too small.
        CheckpointError: the starting weights or the saved state cannot be used.
        TrainingInterruptedError: Ctrl-C or SIGTERM; the state was saved.
        TrainingError: out of memory, or a loss that is not finite; the last save is untouched.
    """
    began = time.perf_counter()
    folder = RunFolder(output_dir)
    folder.check(resume)
    if checkpoint is not None and not checkpoint.exists():
        raise UsageError(
            f"--checkpoint {checkpoint}: no such file or folder; expected a checkpoint folder, a released "
            "CFACK file or an X²-VLM file"
        )
    processes = processes_from_environment()
    torch_device = choose_device(device, processes.local_rank)
    with (
        process_group(processes),
        _kernels(config.train.deterministic, torch_device),
        _memory_explained(config, folder),
    ):
        run = build_run(
            config,
            data_root,
            folder,
            checkpoint=checkpoint,
            tokenizer=tokenizer,
            pick_best_r1=pick_best_r1,
            processes=processes,
            device=torch_device,
        )
        try:
            run_epochs(run, progress, on_step, on_evaluation)
        finally:
            if run.log is not None:
                run.log.close()
    return TrainResult(
        best_checkpoint=folder.best if run.best_r1 is not None else None,
        last_checkpoint=folder.last,
        best_r1=run.best_r1,
        steps=run.position.step,
        epochs=run.position.epoch,
        seconds=time.perf_counter() - began,
    )


@contextmanager
def _kernels(deterministic: bool, device: torch.device) -> Iterator[None]:
    """Choose between deterministic and fast kernels for the length of the block."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    if deterministic:
        # cuBLAS reads it when it starts; without it torch refuses its matrix products.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic or before[0])
    torch.backends.cudnn.benchmark = device.type == "cuda" and not deterministic
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


@contextmanager
def _memory_explained(config: ExperimentConfig, folder: RunFolder) -> Iterator[None]:
    """Turn running out of memory into an error that says what to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        on_gpu = isinstance(error, torch.OutOfMemoryError)
        if not (on_gpu or isinstance(error, MemoryError) or CPU_OUT_OF_MEMORY in str(error)):
            raise
        size, steps = config.data.batch_size, config.train.accumulate_steps
        kept = f"{folder.last} holds the last save. " if folder.last.is_dir() else ""
        raise TrainingError(
            f"out of memory on the {'GPU' if on_gpu else 'machine'} with data.batch_size = {size} at "
            f"{config.model.vision.image_height} x {config.model.vision.image_width} pixels. {kept}"
            "Set train.gradient_checkpointing = true (a run may be resumed with it), or start another run "
            f"with data.batch_size = {max(1, size // 2)} and train.accumulate_steps = {2 * steps}; "
            "bf16, fp16 and smaller images also help"
        ) from error
