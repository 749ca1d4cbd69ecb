"""The saved state of a run: everything that the next step depends on, in one file that is replaced whole.

A run that is killed and resumed ends with the same weights as one that was not, bit for bit (on a GPU with
`train.deterministic`): the state holds weights, optimiser, loss scale, the random generators of every
process and the position in the epoch; the samples of an epoch follow from the seed and the position.
"""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfack.config import ExperimentConfig, parse_config
from cfack_runtime.errors import CheckpointError

FORMAT = 1

HARMLESS = frozenset(
    {
        "data.root",  # the annotations' hash is compared instead
        "data.eval_batch_size",
        "data.num_workers",
        "data.cache_images",
        "train.eval_every",
        "train.log_every",
        "train.save_every",
        "train.gradient_checkpointing",
    }
)
"""Settings that may change when a run is resumed: no weight depends on them."""


@dataclass(frozen=True)
class Position:
    """How far a run has come."""

    epoch: int = 0
    """Epochs finished, evaluation included."""
    batch: int = 0
    """Micro-batches of the present epoch that each process has done."""
    step: int = 0
    """Optimiser steps done since the start of the run."""


@dataclass(frozen=True)
class TrainingState:
    """What `training_state.pt` holds."""

    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    random: list[dict[str, Any]]
    """`random_state` of each process."""
    position: Position
    best_r1: float | None
    metrics_size: int
    """Bytes of `metrics.jsonl` at this position."""
    config: str
    """The configuration as TOML."""
    data_sha256: str
    """Hash of the training annotations."""
    new_parameters: list[str]
    """Names that the starting checkpoint did not hold; the optimiser's groups depend on them."""


def save_state(path: Path, state: TrainingState) -> None:
    """Replace the file at `path` by `state`; a kill leaves the old file or the new one."""
    table = {field.name: getattr(state, field.name) for field in fields(state)}
    table |= {"format": FORMAT, "position": asdict(state.position)}
    # One fixed name, so that what a kill leaves behind is overwritten by the next save.
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as stream:
        torch.save(table, stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def load_state(path: Path) -> TrainingState:
    """Read a state to the CPU.

    Raises:
        CheckpointError: the file is damaged or of another version.
    """
    try:
        table = torch.load(path, map_location="cpu", weights_only=True)
        if table.pop("format") != FORMAT:
            raise CheckpointError(
                f"{path} was written by another version of CFACK; train anew or use that version"
            )
        return TrainingState(**{**table, "position": Position(**table["position"])})
    except (RuntimeError, EOFError, pickle.UnpicklingError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is no training state that can be read; start anew in another folder, with "
            f"--checkpoint {path.parent / 'last'} if its weights are to be kept"
        ) from error


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of every random generator that training draws from in this process."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002 libraries draw from it
    return {
        "python": random.getstate(),
        "numpy": (str(name), torch.from_numpy(np.asarray(keys, np.int64)), int(position), has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put back what `random_state` returned."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002 as above
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)


@contextmanager
def random_state_kept(device: torch.device) -> Iterator[None]:
    """Leave the random generators as they were, whatever the block draws."""
    state = random_state(device)
    try:
        yield
    finally:
        restore_random_state(state, device)


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch (every device)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 as above
    torch.manual_seed(seed)


def changed_settings(
    state: TrainingState, config: ExperimentConfig, data_sha256: str, processes: int
) -> list[str]:
    """What differs from the run that wrote the state and decides its weights, one line each."""
    changed = _config_differences(parse_config(state.config, "training_state.pt"), config)
    if state.data_sha256 != data_sha256:
        changed.append("train.json: its content has changed")
    if len(state.random) != processes:
        changed.append(f"processes: {len(state.random)} in the run, {processes} now")
    return changed


def _config_differences(saved: ExperimentConfig, now: ExperimentConfig) -> list[str]:
    before, after = _flat(asdict(saved)), _flat(asdict(now))
    return [
        f"{name}: {before.get(name)!r} in the run, {after.get(name)!r} now"
        for name in sorted(before.keys() | after.keys())
        if name not in HARMLESS and before.get(name) != after.get(name)
    ]


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat
