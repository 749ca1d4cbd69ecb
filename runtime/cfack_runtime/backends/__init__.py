"""What runs a graph: one protocol, and one module for each library that fulfils it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from cfack_runtime.errors import BackendError, UsageError
from cfack_runtime.manifest import TensorSpec

Feed = Mapping[str, NDArray[Any]]


class Backend(Protocol):
    """One graph, loaded and ready."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs that the loaded graph declares."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs that the loaded graph declares."""

    def run(self, feed: Feed) -> dict[str, NDArray[Any]]:
        """Run the graph once; output name -> array. May be called from several threads.

        Raises:
            BackendError: the graph refuses the input or fails.
        """

    def close(self) -> None:
        """Free everything; a later `run` is an error, a second `close` is none."""


def open_backend(
    path: Path,
    *,
    device: str = "cpu",
    threads: int | None = None,
    arena: bool = True,
    memory_limit: int | None = None,
) -> Backend:
    """Load an ONNX file onto a device.

    Args:
        path: the file; whoever calls has checked that it is the right one.
        device: "cpu", "cuda" or "cuda:N".
        threads: CPU threads for one operator; None leaves it to the library (one a physical core).
        arena: keep the memory of the largest batch until the graph is closed; off: give it back every call.
        memory_limit: bytes of device memory, for a GPU; the CPU has none.

    Raises:
        BackendError: the library or the device is not here, the file cannot be loaded, or it refers to
            other files.
        UsageError: no such device name, `threads` is not positive, or a memory limit on a CPU.
    """
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", device):
        raise UsageError(f'device is {device!r}, expected "cpu", "cuda" or "cuda:N"')
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be at least 1, got {threads}")
    if memory_limit is not None and (device == "cpu" or memory_limit < 1):
        raise UsageError(
            f"memory_limit {memory_limit} with device {device!r}: expected a positive number of bytes and a "
            "GPU; on a CPU memory is bounded by the batches, and arena=False gives it back after every call"
        )
    from cfack_runtime.backends.onnxruntime import OnnxRuntimeBackend
    from cfack_runtime.onnx_scan import require_self_contained

    require_self_contained(path, BackendError)
    return OnnxRuntimeBackend(path, device=device, threads=threads, arena=arena, memory_limit=memory_limit)
