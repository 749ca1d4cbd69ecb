"""TensorRT and TensorRT-RTX: one engine on one GPU.

A context of an engine serves one thread and one profile: contexts that change profiles or threads have
given wrong results and twice the latency. So every profile has its own stack of them; a call takes one that
is free, or makes another, and puts it back.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.backends import Feed
from cfack_runtime.backends.engine_library import EngineLibrary, LibraryLog
from cfack_runtime.backends.engine_memory import Device, Stream
from cfack_runtime.engine import EngineEntry
from cfack_runtime.errors import BackendError
from cfack_runtime.manifest import GraphEntry, TensorSpec


@dataclass(frozen=True)
class _Lane:
    """What one call needs for itself."""

    context: Any
    stream: Stream


class EngineBackend:
    """One deserialised engine. Made by `open_engine`, which has checked that it may run here.

    Args:
        name: what messages call it: the path of its file.
        library: that it belongs to.
        log: what the library reports to.
        engine: the deserialised engine.
        entry: what the manifest says of it.
        graph: what the manifest says of the graph; names, types and shapes are compared.
        device: the GPU; closed with the backend.
        kept: what must live as long as the engine.

    Raises:
        BackendError: the engine is not what the manifest says.
    """

    def __init__(
        self,
        name: str,
        library: EngineLibrary,
        log: LibraryLog,
        engine: Any,
        entry: EngineEntry,
        graph: GraphEntry,
        device: Device,
        kept: tuple[Any, ...] = (),
    ) -> None:
        self._name, self._library, self._log, self._kept = name, library, log, kept
        self._engine, self._entry, self._graph, self._device = engine, entry, graph, device
        self._free: dict[int, list[_Lane]] = {number: [] for number in range(len(entry.profiles))}
        self._all: list[_Lane] = []
        self._lock = threading.Lock()
        self._closed = False
        self._require_as_in_manifest()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs of the graph, which are those of the engine."""
        return self._graph.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs of the graph, which are those of the engine."""
        return self._graph.outputs

    def run(self, feed: Feed) -> dict[str, NDArray[Any]]:
        """Run the engine once; see `Backend.run`.

        Raises:
            BackendError: closed, other names or types than the graph's, a shape outside all profiles, or
                the GPU failed.
        """
        arrays = {spec.name: self._checked(spec, feed) for spec in self.inputs}
        if len(arrays) != len(feed):
            raise BackendError(f"{self._name}: takes {', '.join(arrays)}, got {', '.join(sorted(feed))}")
        profile = self._profile(_shapes(arrays))
        if self._closed:
            raise BackendError(f"{self._name}: the engine was closed; open it again")
        with self._device.active():
            lane = self._take(profile)
            try:
                outputs = self._execute(lane, arrays)
            except BaseException:
                self._drop(lane)  # whatever state it is in, nobody else gets it
                raise
            self._give_back(profile, lane)
        return outputs

    def context(self, shapes: Mapping[str, Sequence[int]], stream: int) -> Any:
        """Make a context for a caller with a stream and memory of its own, as a benchmark has.

        The GPU must be the calling thread's, and the context must be dropped before `close`.

        Args:
            shapes: of every input; settled for the life of the context.
            stream: that it is going to run in.

        Returns:
            The library's own object, whose tensors have no addresses yet.

        Raises:
            BackendError: a shape outside all profiles, or the library makes no context.
        """
        context = self._new_context(self._profile(shapes), stream)
        for name, shape in shapes.items():
            if not context.set_input_shape(name, tuple(shape)):
                raise self._failure(f"refuses the shape {list(shape)} of {name}", {})
        return context

    def close(self) -> None:
        """Free everything. Calls must have returned; a second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        with self._device.active():
            self._free.clear()
            while self._all:  # contexts first, and while the GPU is this thread's
                self._all.pop().stream.close()
            self._engine = None
            self._kept = ()
        self._device.close()

    def _execute(self, lane: _Lane, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        context, stream = lane.context, lane.stream
        for name, array in arrays.items():
            if not context.set_input_shape(name, array.shape):
                raise self._failure(f"refuses the shape {array.shape} of {name}", arrays)
            context.set_tensor_address(name, stream.upload(name, array))
        outputs = {}
        for spec in self.outputs:
            shape = tuple(context.get_tensor_shape(spec.name))
            if any(size < 0 for size in shape):
                raise self._failure(f"gives {spec.name} no shape before it runs", arrays)
            outputs[spec.name] = np.empty(shape, spec.dtype)
            context.set_tensor_address(spec.name, stream.reserve(spec.name, outputs[spec.name].nbytes))
        if not context.execute_async_v3(stream.handle):
            raise self._failure("failed", arrays)
        for name, array in outputs.items():
            stream.download(name, array)
        stream.synchronize()
        return outputs

    def _checked(self, spec: TensorSpec, feed: Feed) -> NDArray[Any]:
        array = feed.get(spec.name)
        if array is None or array.dtype != np.dtype(spec.dtype):
            got = "nothing" if array is None else str(array.dtype)
            raise BackendError(f"{self._name}: input {spec.name} is {got}, expected {spec.dtype}")
        return np.ascontiguousarray(array)

    def _profile(self, shapes: Mapping[str, Sequence[int]]) -> int:
        for number, profile in enumerate(self._entry.profiles):
            if all(profile[name].contains(shape) for name, shape in shapes.items()):
                return number
        ranges = "; ".join(
            ", ".join(f"{name} {list(s.min)} to {list(s.max)}" for name, s in profile.items())
            for profile in self._entry.profiles
        )
        raise BackendError(
            f"{self._name}: got {_listed(shapes)}, outside of what the engine was built for ({ranges}); use "
            "batches of that size, or build engines with other profiles"
        )

    def _take(self, profile: int) -> _Lane:
        with self._lock:
            if self._free[profile]:
                return self._free[profile].pop()
            # Inside the lock: making contexts is rare, and not something to do twice at a time.
            stream = self._device.stream()
            try:
                lane = _Lane(self._new_context(profile, stream.handle), stream)
            except BaseException:
                stream.close()
                raise
            self._all.append(lane)
            stream.synchronize()
            return lane

    def _new_context(self, profile: int, stream: int) -> Any:
        strategy = self._library.module.ExecutionContextAllocationStrategy.ON_PROFILE_CHANGE
        context = self._engine.create_execution_context(strategy)
        if context is None:
            raise self._failure("no context can be made, most likely for want of GPU memory", {})
        if not context.set_optimization_profile_async(profile, stream):
            raise self._failure(f"refuses profile {profile}", {})
        return context

    def _give_back(self, profile: int, lane: _Lane) -> None:
        with self._lock:
            if not self._closed:
                self._free[profile].append(lane)

    def _drop(self, lane: _Lane) -> None:
        with self._lock:
            if lane in self._all:
                self._all.remove(lane)
        lane.stream.close()

    def _failure(self, what: str, arrays: dict[str, NDArray[Any]]) -> BackendError:
        said = self._log.errors
        self._log.clear()
        on = f" on {_listed(_shapes(arrays))}" if arrays else ""
        return BackendError(f"{self._name}: {self._library.name} {what}{on}: {said or 'no reason given'}")

    def _require_as_in_manifest(self) -> None:
        engine, module = self._engine, self._library.module
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        for side, specs in (("INPUT", self.inputs), ("OUTPUT", self.outputs)):
            mode = getattr(module.TensorIOMode, side)
            got = {name for name in names if engine.get_tensor_mode(name) == mode}
            self._require_equal(f"{side.lower()} names", sorted(got), sorted(spec.name for spec in specs))
            for spec in specs:
                dtype = np.dtype(module.nptype(engine.get_tensor_dtype(spec.name))).name
                self._require_equal(f"type of {spec.name}", dtype, spec.dtype)
                shape = [axis if axis >= 0 else "free" for axis in engine.get_tensor_shape(spec.name)]
                wanted = [axis if isinstance(axis, int) else "free" for axis in spec.shape]
                self._require_equal(f"shape of {spec.name}", shape, wanted)
        profiles = self._entry.profiles
        self._require_equal("number of profiles", engine.num_optimization_profiles, len(profiles))
        for number, profile in enumerate(profiles):
            for name, shapes in profile.items():
                built = [list(shape) for shape in engine.get_tensor_profile_shape(name, number)]
                said = [list(shapes.min), list(shapes.opt), list(shapes.max)]
                self._require_equal(f"profile {number} of {name}", built, said)

    def _require_equal(self, what: str, got: Sequence[object] | object, expected: object) -> None:
        if got != expected:
            raise BackendError(
                f"{self._name}: {what} of the engine: {got}, but the manifest says {expected}; it was "
                "edited, build the engines again"
            )


def _shapes(arrays: Mapping[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def _listed(shapes: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
