"""Batches of one epoch, in an order that any process can tell and a resumed run can go on with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from cfack.data.batch import TrainingBatch, collate
from cfack.data.dataset import TrainingSet
from cfack_runtime.errors import CfackError, ConfigError, ImageError, TrainingError

# First word of the entropy of an epoch's order; samples (dataset.py) have another.
_ORDER_STREAM = 1


class TrainingLoader:
    """The batches that are left of an epoch. Made by `build_loader`; each iteration begins anew."""

    def __init__(self, dataset: TrainingSet, batches: list[list[int]], workers: int) -> None:
        self._workers = workers
        self._loader: DataLoader[TrainingBatch | CfackError] = DataLoader(
            _Batches(dataset),
            sampler=batches,  # a key is a whole batch
            batch_size=None,
            collate_fn=_unchanged,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            # Its workers' seeds, which nothing here uses, shall not come from the global generator.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._loader)

    def __iter__(self) -> Iterator[TrainingBatch]:
        """Draw the batches.

        Raises:
            ImageError: an image cannot be read; the file is named.
            TrainingError: a worker process died.
        """
        try:
            for batch in self._loader:
                if isinstance(batch, ImageError):
                    raise ImageError(
                        f"{batch}. Put the image right and go on with --resume, or leave it out by "
                        "`cfack data prepare NAME ROOT --skip-bad` and train anew"
                    ) from batch
                if isinstance(batch, CfackError):
                    raise batch
                yield batch
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise TrainingError(
                f"one of {self._workers} data-loading processes died, perhaps for want of memory or of "
                f"shared memory (/dev/shm): {error}; try a smaller data.num_workers, or 0"
            ) from error


def batches_per_epoch(pairs: int, batch_size: int, world_size: int = 1) -> int:
    """Batches that each process draws in an epoch; pairs that fill none are left to another epoch."""
    return pairs // (batch_size * world_size)


def build_loader(
    dataset: TrainingSet,
    batch_size: int,
    workers: int,
    seed: int,
    epoch: int,
    start_batch: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> TrainingLoader:
    """Prepare the batches of one epoch; sets the epoch of the data set.

    Args:
        dataset: what is drawn from.
        batch_size: pairs per process and batch.
        workers: processes that load; 0 loads in this one. Batches are the same either way.
        seed: with the epoch decides the order.
        epoch: from 0.
        start_batch: batches of this epoch to leave out, without loading them.
        rank: this process among `world_size`; each draws a share of every global batch.
        world_size: number of processes that train together.

    Raises:
        ConfigError: the data set does not fill a single batch.
    """
    count = batches_per_epoch(len(dataset), batch_size, world_size)
    if count == 0:
        raise ConfigError(
            f"{len(dataset)} pairs do not fill a batch of {batch_size} on {world_size} "
            f"process{'es' if world_size > 1 else ''}; make data.batch_size smaller"
        )
    order = np.random.default_rng((_ORDER_STREAM, seed, epoch)).permutation(len(dataset))
    batches = order[: count * world_size * batch_size].reshape(count, world_size, batch_size)
    dataset.set_epoch(epoch)
    return TrainingLoader(dataset, batches[start_batch:, rank].tolist(), workers)


class _Batches(Dataset["TrainingBatch | CfackError"]):
    """Whole batches by the indices of their samples.

    An error of ours is handed over as a value: torch would wrap one raised in a worker in a traceback.
    """

    def __init__(self, dataset: TrainingSet) -> None:
        self._dataset = dataset

    def __getitem__(self, indices: list[int]) -> TrainingBatch | CfackError:
        try:
            return collate([self._dataset[index] for index in indices])
        except CfackError as error:
            return error


def _unchanged(batch: Any) -> Any:
    return batch
