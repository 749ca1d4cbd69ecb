"""A stand-in for TensorRT's Python module and for a GPU's memory.

An "engine" is an ONNX file behind a few bytes; ONNX Runtime calculates where a GPU would. Everything that
TensorRT demands of its callers is asserted: a profile before shapes, shapes inside the profile, addresses
of every tensor, memory that is large enough, one thread at a time in a context.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from cfack_runtime.backends.engine_gpu import Gpu
from cfack_runtime.backends.engine_library import EngineLibrary
from cfack_runtime.bundle import Bundle
from cfack_runtime.engine import EngineEntry, Profile, ShapeRange
from cfack_runtime.engine_files import store_engines
from cfack_runtime.manifest import FileEntry

MAGIC = b"FAKE-ENGINE\n"
VERSION = "10.13.2.6"
GPU = Gpu(0, "NVIDIA Pretend", "8.9", "13.0")

_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(uint8)": "uint8"}


@dataclass
class FakeMemory:
    """A GPU's memory, as PyCUDA would hand it out; `active_in` says in which threads it may be used."""

    blocks: dict[int, bytearray] = field(default_factory=dict)
    active_in: set[int] = field(default_factory=set)
    open_devices: int = 0
    addresses: Iterator[int] = field(default_factory=lambda: itertools.count(4096, 4096))


class FakeDevice:
    def __init__(self, memory: FakeMemory) -> None:
        self.memory, self.closed = memory, False
        memory.open_devices += 1

    @contextmanager
    def active(self) -> Iterator[None]:
        assert not self.closed
        self.memory.active_in.add(threading.get_ident())
        try:
            yield
        finally:
            self.memory.active_in.discard(threading.get_ident())

    def stream(self) -> FakeStream:
        assert threading.get_ident() in self.memory.active_in
        return FakeStream(self.memory)

    def close(self) -> None:
        assert not self.closed
        self.closed = True
        self.memory.open_devices -= 1


class FakeStream:
    def __init__(self, memory: FakeMemory) -> None:
        self.memory, self.handle, self.buffers = memory, id(self), dict[str, int]()
        self.pending: list[Callable[[], None]] = []

    def reserve(self, name: str, size: int) -> int:
        assert threading.get_ident() in self.memory.active_in
        if name not in self.buffers or len(self.memory.blocks[self.buffers[name]]) < size:
            self.memory.blocks.pop(self.buffers.pop(name, -1), None)
            self.buffers[name] = next(self.memory.addresses)
            self.memory.blocks[self.buffers[name]] = bytearray(size)
        return self.buffers[name]

    def upload(self, name: str, array: NDArray[Any]) -> int:
        assert array.flags.c_contiguous
        address = self.reserve(name, array.nbytes)
        self.memory.blocks[address][: array.nbytes] = array.tobytes()
        return address

    def download(self, name: str, array: NDArray[Any]) -> None:
        def copy() -> None:
            data = bytes(self.memory.blocks[self.buffers[name]][: array.nbytes])
            array[...] = np.frombuffer(data, array.dtype).reshape(array.shape)

        self.pending.append(copy)  # a result that is read before `synchronize` is garbage

    def synchronize(self) -> None:
        while self.pending:
            self.pending.pop(0)()

    def close(self) -> None:
        for address in self.buffers.values():
            del self.memory.blocks[address]
        self.buffers.clear()


class FakeContext:
    def __init__(self, engine: FakeEngine) -> None:
        self.engine, self.profile = engine, -1
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.busy = threading.Lock()

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        assert self.profile == -1, "a context must not change its profile"
        self.profile = profile
        return True

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        assert self.profile >= 0
        self.shapes[name] = tuple(shape)
        return self.engine.profiles[self.profile][name].contains(shape)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """Of an output; only its batch is free in the toy graphs, and a text's length."""
        shape = list(self.engine.outputs[name].shape)
        batch = max(shape[0] for shape in self.shapes.values())
        length = self.shapes.get("input_ids", (0, 0))[1]
        return tuple(s if isinstance(s, int) else (batch, length)[i] for i, s in enumerate(shape))

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert address in self.engine.memory.blocks
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert self.busy.acquire(blocking=False), "two threads in one context"
        try:
            if self.engine.module.failures > 0:
                self.engine.module.failures -= 1
                self.engine.logger.log(1, "Error Code 1: the GPU is on fire")
                return False
            self.engine.module.ran.append((id(self), self.profile))
            blocks = self.engine.memory.blocks
            feed = {}
            for name, argument in self.engine.inputs.items():
                dtype, shape = np.dtype(_DTYPES[argument.type]), self.shapes[name]
                data = bytes(blocks[self.addresses[name]][: dtype.itemsize * int(np.prod(shape))])
                feed[name] = np.frombuffer(data, dtype).reshape(shape)
            names = list(self.engine.outputs)
            for name, value in zip(names, self.engine.session.run(names, feed), strict=True):
                assert value.nbytes <= len(blocks[self.addresses[name]])
                blocks[self.addresses[name]][: value.nbytes] = value.tobytes()
            return True
        finally:
            self.busy.release()


class FakeEngine:
    def __init__(self, module: Any, data: bytes, logger: Any) -> None:
        self.logger = logger
        number, _, onnx = data.removeprefix(MAGIC).partition(b"\n")
        self.module, self.memory = module, module.memory
        self.profiles: tuple[Profile, ...] = module.profile_sets[int(number)]
        self.num_optimization_profiles = len(self.profiles)
        self.session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
        self.inputs = {argument.name: argument for argument in self.session.get_inputs()}
        self.outputs = {argument.name: argument for argument in self.session.get_outputs()}
        self.names = [*self.inputs, *self.outputs]
        self.num_io_tensors = len(self.names)

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name in self.inputs else "output"

    def get_tensor_dtype(self, name: str) -> str:
        return _DTYPES[{**self.inputs, **self.outputs}[name].type]

    def get_tensor_shape(self, name: str) -> list[int]:
        shape = {**self.inputs, **self.outputs}[name].shape
        return [axis if isinstance(axis, int) else -1 for axis in shape]

    def get_tensor_profile_shape(self, name: str, number: int) -> list[tuple[int, ...]]:
        shapes = self.profiles[number][name]
        return [shapes.min, shapes.opt, shapes.max]

    def create_execution_context(self, strategy: str) -> FakeContext:
        assert strategy == "on profile change"
        self.module.contexts += 1
        return FakeContext(self)


def make_module(memory: FakeMemory) -> Any:
    """The names of TensorRT's module that the runtime uses, and a few of the tests' own."""
    module: Any = ModuleType("fake_tensorrt")
    module.__version__ = VERSION
    module.memory, module.profile_sets = memory, []
    module.deserialized, module.contexts, module.ran, module.failures = 0, 0, [], 0
    module.host_code_allowed, module.refitted_with, module.refuses = None, None, ""

    class ILogger:
        Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2)

    class Runtime:
        engine_host_code_allowed = False

        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, data: bytes) -> FakeEngine | None:
            assert threading.get_ident() in memory.active_in
            module.deserialized += 1
            module.host_code_allowed = self.engine_host_code_allowed
            if module.refuses:
                self.logger.log(1, module.refuses)
                return None
            return FakeEngine(module, data, self.logger)

    class Refitter:
        def __init__(self, engine: FakeEngine, logger: Any) -> None:
            pass

        def refit_cuda_engine(self) -> bool:
            return True

    class OnnxParserRefitter:
        def __init__(self, refitter: Refitter, logger: Any) -> None:
            pass

        def refit_from_bytes(self, data: bytes) -> bool:
            module.refitted_with = hashlib.sha256(data).hexdigest()
            return not module.refuses_weights

    module.refuses_weights = False
    module.ILogger, module.Runtime = ILogger, Runtime
    module.Refitter, module.OnnxParserRefitter = Refitter, OnnxParserRefitter
    module.TensorIOMode = SimpleNamespace(INPUT="input", OUTPUT="output")
    module.ExecutionContextAllocationStrategy = SimpleNamespace(ON_PROFILE_CHANGE="on profile change")
    module.nptype = np.dtype
    return module


@pytest.fixture
def memory() -> FakeMemory:
    return FakeMemory()


@pytest.fixture
def tensorrt(memory: FakeMemory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The stand-in, in the place of TensorRT, of the driver and of PyCUDA."""
    module = make_module(memory)
    place = "cfack_runtime.backends.engine_open"
    monkeypatch.setattr(f"{place}.load_library", lambda name: EngineLibrary(name, module))
    monkeypatch.setattr(f"{place}.find_gpu", lambda index: replace(GPU, index=index))
    monkeypatch.setattr(f"{place}.PycudaDevice", lambda index: FakeDevice(memory))
    return module


TEXT = ("input_ids", "attention_mask")
PROFILES: dict[str, tuple[Profile, ...]] = {
    "image_encoder": ({"pixels": ShapeRange((1, 12, 8, 3), (2, 12, 8, 3), (8, 12, 8, 3))},),
    "text_encoder": (
        {name: ShapeRange((1, 2), (2, 4), (4, 4)) for name in TEXT},
        {name: ShapeRange((1, 5), (2, 10), (4, 10)) for name in TEXT},
    ),
    "reranker": (
        {
            "text_tokens": ShapeRange((1, 2, 4), (2, 10, 4), (8, 10, 4)),
            "attention_mask": ShapeRange((1, 2), (2, 10), (8, 10)),
            "image_tokens": ShapeRange((1, 4, 4), (2, 4, 4), (8, 4, 4)),
        },
    ),
}


@pytest.fixture
def add_engines(bundle_copy: Path, tmp_path: Path, tensorrt: Any) -> Callable[..., Bundle]:
    """Give the toy bundle engines: `add_engines(verified=True, gpu=...)`, members as of `EngineEntry`."""
    counter = itertools.count()

    def add(**members: Any) -> Bundle:
        bundle = Bundle.open(bundle_copy)
        engines = []
        for name, profiles in PROFILES.items():
            tensorrt.profile_sets.append(profiles)
            number = len(tensorrt.profile_sets) - 1
            data = MAGIC + b"%d\n" % number + bundle.graph_path("fp32", name).read_bytes()
            source = tmp_path / f"{next(counter)}.engine"
            source.write_bytes(data)
            sha256 = hashlib.sha256(data).hexdigest()
            entry = EngineEntry(
                file=FileEntry(f"engines/{name}-{sha256[:12]}.engine", sha256, len(data)),
                precision="fp32",
                graph=name,
                builder="tensorrt",
                builder_version=VERSION,
                compute_capability="8.9",
                profiles=profiles,
                onnx_sha256=bundle.graph("fp32", name).file.sha256,
                gpu=GPU.name,
                verified=True,
            )
            engines.append((replace(entry, **members), source))
        return store_engines(bundle, engines)

    return add
