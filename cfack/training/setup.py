"""From a configuration and folders to a run that can start: everything that may be wrong is found here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cfack.config import ExperimentConfig, dump_config, with_overrides
from cfack.data.annotations import available_splits, read_split, split_path
from cfack.data.dataset import TrainingSet
from cfack.data.loader import batches_per_epoch
from cfack.modeling import build_model
from cfack.modeling.checkpoint import TOKENIZER_FILE
from cfack.training.distributed import Processes, gather
from cfack.training.folder import RunFolder
from cfack.training.metrics_log import MetricsLog
from cfack.training.objective import Objective
from cfack.training.optimizer import build_optimizer, parameter_groups
from cfack.training.precision import choose_precision
from cfack.training.run import LossModule, Run
from cfack.training.starting_point import initial_model, new_tokenizer
from cfack.training.state import changed_settings, load_state, seed_everything
from cfack_runtime.errors import ConfigError, DataError, UsageError
from cfack_runtime.files import atomic_write, sha256_file
from cfack_runtime.tokenizer import CaptionTokenizer

if TYPE_CHECKING:
    from cfack.data.annotations import Split


def build_run(
    config: ExperimentConfig,
    data_root: Path,
    folder: RunFolder,
    *,
    checkpoint: Path | None,
    tokenizer: str | None,
    pick_best_r1: bool,
    processes: Processes,
    device: torch.device,
) -> Run:
    """Build a run, at its start or where the folder's saved state says; see `cfack.training.train`."""
    precision = choose_precision(config.train.precision, device)
    selection_split = _selection_split(config, data_root) if pick_best_r1 else None
    training_split = read_split(data_root, "train")
    state = load_state(folder.state) if folder.state.is_file() else None
    if state is None:
        words = new_tokenizer(config, training_split, checkpoint, tokenizer, processes)
    else:
        words = CaptionTokenizer.from_file(folder.last / TOKENIZER_FILE, config.model.text.max_tokens)
    config = _completed(config, data_root, training_split, words)
    data_sha256 = sha256_file(split_path(data_root, "train"))
    if state is not None:
        _refuse_changes(folder, changed_settings(state, config, data_sha256, processes.count))
    for split in filter(None, (training_split, selection_split)):
        _check_images_are_there(split)
    training_set = TrainingSet(training_split, config, words)
    if batches_per_epoch(len(training_set), config.data.batch_size, processes.count) == 0:
        raise ConfigError(
            f"{split_path(data_root, 'train')} has {len(training_set)} pairs of image and caption, fewer "
            f"than one batch of {config.data.batch_size} for each of {processes.count} process(es); "
            "make data.batch_size smaller"
        )

    seed_everything(config.train.seed)  # the same initial weights in every process
    if state is None:
        model, new_parameters = initial_model(config, checkpoint)
    else:
        model, new_parameters = build_model(config.model), state.new_parameters
    model.to(device).train()
    model.set_gradient_checkpointing(config.train.gradient_checkpointing)
    objective = Objective(config, gather)
    objective.prepare(model)
    run = Run(
        config=config,
        folder=folder,
        processes=processes,
        device=device,
        precision=precision,
        tokenizer=words,
        training_set=training_set,
        data_sha256=data_sha256,
        selection_split=selection_split,
        model=model,
        new_parameters=new_parameters,
        objective=objective,
        module=LossModule(model, objective),
        optimizer=build_optimizer(model, parameter_groups(model, config, new_parameters), config.optimizer),
        scaler=precision.scaler(),
    )
    seed_everything(config.train.seed + processes.rank)  # other dropout in every process
    if state is not None:
        run.restore(state)
    if processes.count > 1:
        run.module = _distributed(run.module, device)
    if processes.is_main:
        _open_files(run, 0 if state is None else state.metrics_size)
    if state is None:
        run.save()
    return run


def _distributed(module: nn.Module, device: torch.device) -> DistributedDataParallel:
    wrapped = DistributedDataParallel(module, device_ids=[device] if device.type == "cuda" else None)
    # Buffers are constants of the geometry; the running statistics of a batch-norm CNN stay local. Set as an
    # attribute, because the argument's name has changed between versions of torch.
    wrapped.broadcast_buffers = False
    return wrapped


def _open_files(run: Run, metrics_size: int) -> None:
    run.folder.path.mkdir(parents=True, exist_ok=True)
    run.folder.clean_up()
    atomic_write(run.folder.config, dump_config(run.config).encode())
    run.log = MetricsLog(run.folder.path, metrics_size, run.position.step)


def _refuse_changes(folder: RunFolder, changes: list[str]) -> None:
    if changes:
        raise UsageError(
            f"{folder.path} cannot be resumed, because its run was started with other settings:\n"
            + "\n".join(f"  - {change}" for change in changes)
            + "\nGive the run's own settings, or start another run in another --output-dir"
        )


def _check_images_are_there(split: Split) -> None:
    """Find what was moved or deleted since `cfack data prepare` now, and not after hours."""
    gone = [path for path in map(split.path, range(len(split.records))) if not path.is_file()]
    if gone:
        raise DataError(
            f"{len(gone)} of the {len(split.records)} images of the {split.name} split are not there, the "
            f"first being {gone[0]}. Put them back, or run `cfack data prepare` again"
        )


def _selection_split(config: ExperimentConfig, data_root: Path) -> Split:
    name = "test" if config.switches.select_on_test else "val"
    # Where there is no split at all, reading one says what to do.
    if name == "val" and available_splits(data_root) and not split_path(data_root, name).is_file():
        raise DataError(
            f"{data_root} has no val.json to choose the best checkpoint with. Hold out training identities "
            "(`cfack data prepare ... --hold-out-val N`), choose on the test split as the released code does "
            "(`--select-on test`), or keep the last checkpoint only (`--no-pick-best-r1`)"
        )
    return read_split(data_root, name)


def _completed(
    config: ExperimentConfig, data_root: Path, split: Split, tokenizer: CaptionTokenizer
) -> ExperimentConfig:
    """The configuration with what only the data tells: vocabulary, number of identities, folder.

    Raises:
        ConfigError: the tokenizer has more word pieces than the model.
    """
    model = config.model
    if model.text.tokenizer == "captions":
        model = replace(model, text=replace(model.text, vocab_size=tokenizer.vocab_size))
    if tokenizer.vocab_size > model.text.vocab_size:
        raise ConfigError(
            f"the tokenizer has {tokenizer.vocab_size} word pieces, the model {model.text.vocab_size}; "
            f"give the model's own tokenizer, or set model.text.vocab_size = {tokenizer.vocab_size}"
        )
    if model.num_identities:
        model = replace(model, num_identities=split.num_identities)
    return replace(with_overrides(config, data={"root": str(data_root.resolve())}), model=model)
