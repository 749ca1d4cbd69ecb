"""What runs a graph: one protocol, and one module for each library that fulfils it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from cfack_runtime.errors import UsageError
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


def open_backend(path: Path, *, device: str = "cpu", threads: int | None = None) -> Backend:
    """Load an ONNX file onto a device.

    Args:
        path: the file; whoever calls has checked that it is the right one.
        device: "cpu", "cuda" or "cuda:N".
        threads: CPU threads for one operator; None leaves it to the library (one a physical core).

    Raises:
        BackendError: the library or the device is not here, or the file cannot be loaded.
        UsageError: no such device name, or `threads` is not positive.
    """
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", device):
        raise UsageError(f'device is {device!r}, expected "cpu", "cuda" or "cuda:N"')
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be at least 1, got {threads}")
    from cfack_runtime.backends.onnxruntime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(path, device=device, threads=threads)
