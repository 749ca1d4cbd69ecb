# ruff: noqa: N802, N815
# The functions are named as the driver names them.
"""A CUDA driver whose device memory is the host's and whose clock goes by the work that is put into it."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

COPY_IN, GRAPH, COPY_OUT = 2.0, 5.0, 1.0
"""Milliseconds of the device's clock."""
NO_SUCH_DEVICE = 101


class FakeCuda:
    """The functions that `CudaStream` calls; `log` has what the stream was given, in order."""

    copy_in, graph, copy_out = COPY_IN, GRAPH, COPY_OUT

    def __init__(self) -> None:
        self.memory: dict[int, Any] = {}
        self.clock = 0.0
        self.events: dict[int, float] = {}
        self.log: list[str] = []
        self.captured: list[Callable[[], None]] | None = None
        self.graphs: list[list[Callable[[], None]]] = []
        self.alive = 0
        self._next = 1

    def put(self, name: str, milliseconds: float, work: Callable[[], None]) -> None:
        """Work for the stream: done at once, or recorded while it is captured."""

        def do() -> None:
            self.log.append(name)
            self.clock += milliseconds
            work()

        if self.captured is None:
            do()
        else:
            self.captured.append(do)

    def cuInit(self, flags: int) -> int:
        return 0

    def cuDeviceGet(self, out: Any, index: int) -> int:
        out._obj.value = index
        return NO_SUCH_DEVICE if index > 0 else 0

    def cuDevicePrimaryCtxRetain(self, out: Any, device: Any) -> int:
        return self._new(out)

    def cuCtxSetCurrent(self, context: Any) -> int:
        return 0

    def cuStreamCreate(self, out: Any, flags: int) -> int:
        return self._new(out)

    def cuEventCreate(self, out: Any, flags: int) -> int:
        return self._new(out)

    def cuEventRecord(self, event: Any, stream: Any) -> int:
        self.events[event.value] = self.clock
        return 0

    def cuEventElapsedTime(self, out: Any, first: Any, last: Any) -> int:
        out._obj.value = self.events[last.value] - self.events[first.value]
        return 0

    def cuStreamSynchronize(self, stream: Any) -> int:
        assert self.captured is None, "waiting breaks a capture"
        return 0

    def cuMemAlloc_v2(self, out: Any, size: Any) -> int:
        assert self.captured is None, "allocating breaks a capture"
        return self._allocate(out, size)

    def cuMemHostAlloc(self, out: Any, size: Any, flags: int) -> int:
        return self._allocate(out, size)

    def cuMemcpyHtoDAsync_v2(self, to: Any, start: Any, size: Any, stream: Any) -> int:
        self.put("in", COPY_IN, lambda: ctypes.memmove(to.value, start.value, size.value) and None)
        return 0

    def cuMemcpyDtoHAsync_v2(self, to: Any, start: Any, size: Any, stream: Any) -> int:
        self.put("out", COPY_OUT, lambda: ctypes.memmove(to.value, start.value, size.value) and None)
        return 0

    def cuStreamBeginCapture_v2(self, stream: Any, mode: int) -> int:
        self.captured = []
        return 0

    def cuStreamEndCapture(self, stream: Any, out: Any) -> int:
        assert self.captured is not None
        self.graphs.append(self.captured)
        self.captured = None
        out._obj.value = len(self.graphs)
        return 0

    def cuGraphInstantiateWithFlags(self, out: Any, graph: Any, flags: Any) -> int:
        out._obj.value = graph.value
        self.alive += 1
        return 0

    def cuGraphDestroy(self, graph: Any) -> int:
        return 0

    def cuGraphLaunch(self, graph: Any, stream: Any) -> int:
        self.log.append("graph")
        for work in self.graphs[graph.value - 1]:
            work()
        return 0

    def cuMemFree_v2(self, address: Any) -> int:
        return self._free(address)

    cuMemFreeHost = cuMemFree_v2

    def cuGraphExecDestroy(self, handle: Any) -> int:
        self.alive -= 1
        return 0

    cuEventDestroy_v2 = cuStreamDestroy_v2 = cuDevicePrimaryCtxRelease_v2 = cuGraphExecDestroy

    def _new(self, out: Any) -> int:
        self.alive += 1
        out._obj.value = self._next
        self._next += 1
        return 0

    def _allocate(self, out: Any, size: Any) -> int:
        block = ctypes.create_string_buffer(size.value)
        out._obj.value = ctypes.addressof(block)
        self.memory[out._obj.value] = block
        return 0

    def _free(self, address: Any) -> int:
        del self.memory[address.value]
        return 0


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


def _engine_stand_in() -> ModuleType:
    """The runtime's own stand-in for TensorRT, which asserts what the library demands of its callers."""
    path = Path(__file__).resolve().parents[2] / "runtime" / "engines" / "conftest.py"
    spec = importlib.util.spec_from_file_location("engine_stand_in", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


_stand_in = _engine_stand_in()
memory, tensorrt, add_engines = _stand_in.memory, _stand_in.tensorrt, _stand_in.add_engines
