"""GPU memory and streams, by PyCUDA. Everything that needs a GPU to be tried is in this file."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.errors import BackendError


class Stream(Protocol):
    """One stream, and one buffer of GPU memory for each tensor that goes through it."""

    @property
    def handle(self) -> int:
        """What CUDA calls it."""

    def reserve(self, name: str, size: int) -> int:
        """Return the address of a buffer of at least `size` bytes, which stays as it is if it suffices."""

    def upload(self, name: str, array: NDArray[Any]) -> int:
        """Copy a contiguous array into the buffer of that name; return its address."""

    def download(self, name: str, array: NDArray[Any]) -> None:
        """Copy the buffer of that name into a contiguous array; it holds once `synchronize` returns."""

    def synchronize(self) -> None:
        """Wait for all that was put into the stream."""

    def close(self) -> None:
        """Free stream and buffers."""


class Device(Protocol):
    """One GPU as this process uses it."""

    def active(self) -> AbstractContextManager[None]:
        """Make it the calling thread's GPU for the length of a block; all other calls need that."""

    def stream(self) -> Stream:
        """Make a stream."""

    def close(self) -> None:
        """Let go of it."""


class PycudaDevice:
    """A GPU in its primary context, which ONNX Runtime and PyTorch use too.

    Args:
        index: of the GPU.

    Raises:
        BackendError: PyCUDA is not installed or finds no GPU.
    """

    def __init__(self, index: int) -> None:
        self._cuda = _import_pycuda()
        try:
            self._cuda.init()
            self._context: Any = self._cuda.Device(index).retain_primary_context()
        except Exception as error:  # its errors share no base class but Exception
            raise BackendError(f"PyCUDA cannot use GPU {index}: {error}; see `cfack doctor`") from error

    @contextmanager
    def active(self) -> Iterator[None]:
        """See `Device.active`."""
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    def stream(self) -> Stream:
        """See `Device.stream`."""
        return _PycudaStream(self._cuda)

    def close(self) -> None:
        """See `Device.close`."""
        if self._context is not None:
            self._context.detach()
            self._context = None


class _PycudaStream:
    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._stream = cuda.Stream()
        self._buffers: dict[str, tuple[Any, int]] = {}

    @property
    def handle(self) -> int:
        return int(self._stream.handle)

    def reserve(self, name: str, size: int) -> int:
        buffer, have = self._buffers.get(name, (None, -1))
        if have < size:
            if buffer is not None:
                buffer.free()  # first, so that both need not fit
                del self._buffers[name]
            buffer = self._cuda.mem_alloc(max(size, 1))
            self._buffers[name] = (buffer, size)
        return int(buffer)

    def upload(self, name: str, array: NDArray[Any]) -> int:
        address = self.reserve(name, array.nbytes)
        self._cuda.memcpy_htod_async(address, np.ascontiguousarray(array), self._stream)
        return address

    def download(self, name: str, array: NDArray[Any]) -> None:
        self._cuda.memcpy_dtoh_async(array, int(self._buffers[name][0]), self._stream)

    def synchronize(self) -> None:
        self._stream.synchronize()

    def close(self) -> None:
        for buffer, _ in self._buffers.values():
            buffer.free()
        self._buffers.clear()
        self._stream = None


def _import_pycuda() -> Any:
    try:
        return importlib.import_module("pycuda.driver")
    except (ImportError, OSError) as error:
        raise BackendError(
            f"pycuda cannot be imported ({error}); install it with `pip install pycuda`, which needs the "
            "CUDA toolkit's compiler and, to run, the NVIDIA driver"
        ) from error
