"""The CUDA driver by ctypes: stream, events, memory on both sides, captured graphs.

No package is needed for it, so that events are the same for every library that is timed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_bench.device.call import MARKS
from cfack_runtime.errors import BackendError

_LIBRARIES = ("libcuda.so.1", "nvcuda.dll")
_OWN_STREAM = 1  # CU_STREAM_NON_BLOCKING: does not wait for the default stream
_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may allocate meanwhile


def load_driver() -> Any:
    """Load the driver's library.

    Raises:
        BackendError: there is none.
    """
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise BackendError("there is no NVIDIA driver here (libcuda cannot be loaded); use the CPU")


class CudaStream:
    """A stream of its own on one GPU, with its events, in the primary context that every library shares.

    The context becomes the calling thread's; use the object in that thread alone.

    Args:
        index: of the GPU.
        library: the driver's functions; for tests.

    Raises:
        BackendError: no driver, or no such GPU.
    """

    def __init__(self, index: int, library: Any = None) -> None:
        self._library = load_driver() if library is None else library
        self._call("cuInit", 0)
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(device), index)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        self._device = device
        self._stream = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(self._stream), _OWN_STREAM)
        self._events = [ctypes.c_void_p() for _ in range(MARKS)]
        for event in self._events:
            self._call("cuEventCreate", ctypes.byref(event), 0)
        self._device_memory: list[ctypes.c_uint64] = []
        self._host_memory: list[ctypes.c_void_p] = []
        self._graphs: list[ctypes.c_void_p] = []

    @property
    def handle(self) -> int:
        """What CUDA calls the stream."""
        return int(self._stream.value or 0)

    def mark(self, place: int) -> None:
        """See `DeviceStream.mark`."""
        self._call("cuEventRecord", self._events[place], self._stream)

    def milliseconds(self, first: int, last: int) -> float:
        """See `DeviceStream.milliseconds`."""
        found = ctypes.c_float()
        self._call("cuEventElapsedTime", ctypes.byref(found), self._events[first], self._events[last])
        return found.value

    def synchronize(self) -> None:
        """See `DeviceStream.synchronize`."""
        self._call("cuStreamSynchronize", self._stream)

    def reserve(self, size: int) -> int:
        """Allocate so many bytes of device memory; returns the address."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(size, 1)))
        self._device_memory.append(address)
        return address.value

    def host_array(self, shape: Sequence[int], dtype: str) -> NDArray[Any]:
        """Make an array in page-locked memory, which is copied without a detour; it dies with the stream."""
        kind, place = np.dtype(dtype), ctypes.c_void_p()
        size = max(1, kind.itemsize * int(np.prod(shape)))
        self._call("cuMemHostAlloc", ctypes.byref(place), ctypes.c_size_t(size), 0)
        self._host_memory.append(place)
        memory: Any = (ctypes.c_char * size).from_address(place.value or 0)
        array: NDArray[Any] = np.frombuffer(memory, kind, int(np.prod(shape)))
        return array.reshape(shape)

    def copy_in(self, address: int, array: NDArray[Any]) -> None:
        """Copy a host array to device memory."""
        size = ctypes.c_size_t(array.nbytes)
        host = ctypes.c_void_p(array.ctypes.data)
        self._call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), host, size, self._stream)

    def copy_out(self, array: NDArray[Any], address: int) -> None:
        """Copy device memory to a host array."""
        size = ctypes.c_size_t(array.nbytes)
        host = ctypes.c_void_p(array.ctypes.data)
        self._call("cuMemcpyDtoHAsync_v2", host, ctypes.c_uint64(address), size, self._stream)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what a function puts into the stream; returns what puts all of it there at once.

        Raises:
            BackendError: the work cannot be captured, most likely because it waits or allocates.
        """
        graph, ready = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuStreamBeginCapture_v2", self._stream, _THREAD_LOCAL)
        try:
            work()
        finally:
            self._call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
        self._call("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, ctypes.c_uint64(0))
        self._call("cuGraphDestroy", graph)
        self._graphs.append(ready)
        return lambda: self._call("cuGraphLaunch", ready, self._stream)

    def close(self) -> None:
        """Free everything that came from here; its arrays must not be touched any more."""
        self.synchronize()
        for graph in self._graphs:
            self._call("cuGraphExecDestroy", graph)
        for address in self._device_memory:
            self._call("cuMemFree_v2", address)
        for place in self._host_memory:
            self._call("cuMemFreeHost", place)
        for event in self._events:
            self._call("cuEventDestroy_v2", event)
        self._call("cuStreamDestroy_v2", self._stream)
        self._call("cuDevicePrimaryCtxRelease_v2", self._device)

    def _call(self, function: str, *arguments: Any) -> None:
        status = int(getattr(self._library, function)(*arguments))
        if status:
            raise BackendError(f"the NVIDIA driver refuses {function}: error {status}; see `nvidia-smi`")
