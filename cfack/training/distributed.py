"""Several processes under `torchrun`; every helper does nothing special where there is one process.

What a process gathers from the others gets its gradient from all of them: the backward pass of the gathering
sums over the processes. DistributedDataParallel then averages the gradients of the weights, so that the loss
that is minimised is the mean of the processes' losses. For a contrastive term, which every process computes
whole, that mean is the term itself: W processes with batches of B / W give the gradients of one process with
a batch of B. The released code keeps only the process's own part of the sum, which divides the contrastive
gradient by W and lets no gradient reach a hard negative of another process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from cfack_runtime.errors import ConfigError

T = TypeVar("T")

TIMEOUT = timedelta(hours=6)
"""Processes wait for the one that evaluates, which takes hours on a large split."""
_LAST_EXCHANGE = 0.5
"""Seconds, far more than a thread that waits for a processor needs to drop a tensor."""


@dataclass(frozen=True)
class Processes:
    """This process's place among those that train together."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process evaluates and writes files."""
        return self.rank == 0


def processes_from_environment() -> Processes:
    """Read what torchrun sets (RANK, WORLD_SIZE, LOCAL_RANK); one process where it sets nothing.

    Raises:
        ConfigError: WORLD_SIZE asks for several processes and another variable is missing or no number.
    """
    try:
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return Processes()
        return Processes(int(os.environ["RANK"]), count, int(os.environ["LOCAL_RANK"]))
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"WORLD_SIZE is set, but RANK and LOCAL_RANK are not as torchrun sets them ({error}); "
            "start several processes with: torchrun --nproc-per-node N -m cfack train ..."
        ) from error


@contextmanager
def process_group(processes: Processes) -> Iterator[None]:
    """Connect the processes for the length of the context: gloo for CPU tensors, NCCL for those on a GPU.

    Nothing is done for a single process, nor where the caller has connected them.
    """
    if processes.count == 1 or dist.is_initialized():
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    dist.init_process_group(backend, rank=processes.rank, world_size=processes.count, timeout=TIMEOUT)
    try:
        yield
    finally:
        # The group's threads outlive it where DistributedDataParallel used it. One that has yet to drop a
        # tensor of the last exchange when the interpreter shuts down is ended there and aborts the process.
        time.sleep(_LAST_EXCHANGE)
        dist.destroy_process_group()


def world_size() -> int:
    """Number of connected processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def gather(local: Tensor) -> Tensor:
    """Concatenate a tensor over the processes, in the order of their ranks.

    Args:
        local: (B, ...), of the same shape in every process.

    Returns:
        (B * W, ...). Its gradient is summed over the processes before it reaches `local`. One process gets
        its tensor back.
    """
    if world_size() == 1:
        return local
    if not (local.requires_grad and torch.is_grad_enabled()):
        return _gather(local)
    gathered: Tensor = _Gather.apply(local)
    return gathered


def any_process(flag: bool) -> bool:
    """Whether the flag is set in at least one process."""
    if world_size() == 1:
        return flag
    value = torch.tensor(int(flag))
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return bool(value.item())


def mean_over_processes(values: Tensor) -> Tensor:
    """Element-wise mean of a tensor without gradient over the processes."""
    if world_size() == 1:
        return values
    summed = values.detach().clone()
    dist.all_reduce(summed)
    return summed / world_size()


def gather_objects(value: T) -> list[T]:
    """One value of each process, in the order of their ranks, in every process."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def from_main(value: T) -> T:
    """The main process's value, in every process; also the place where the others wait for it."""
    if world_size() == 1:
        return value
    holder = [value]
    dist.broadcast_object_list(holder, src=0)
    return holder[0]


def _gather(local: Tensor) -> Tensor:
    slices = [torch.empty_like(local, requires_grad=False) for _ in range(world_size())]
    dist.all_gather(slices, local.detach().contiguous())
    return torch.cat(slices)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        ctx.length = len(local)
        return _gather(local)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous().clone()
        dist.all_reduce(summed)
        start = dist.get_rank() * int(ctx.length)
        return summed[start : start + ctx.length]
