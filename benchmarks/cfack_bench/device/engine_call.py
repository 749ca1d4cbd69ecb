"""A TensorRT or TensorRT-RTX engine with our memory and stream, launched by itself or as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from cfack_bench.device.bound import BoundArrays, CopyStream
from cfack_runtime.backends import Feed
from cfack_runtime.errors import BackendError
from cfack_runtime.manifest import TensorSpec


class CapturingStream(CopyStream, Protocol):
    """A stream whose work can be recorded."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what a function puts into it; returns what puts all of it there at once."""


class ContextSource(Protocol):
    """What `EngineBackend` gives: contexts of one engine."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Of the graph."""

    def context(self, shapes: Mapping[str, Sequence[int]], stream: int) -> Any:
        """Make a context with its input shapes set, for our own stream."""

    def close(self) -> None:
        """Free the engine; no context of it may live any more."""


class EngineCall:
    """One context at fixed shapes.

    Args:
        engine: closed with this object.
        feed: what goes in.
        stream: closed with this object.
        cuda_graph: capture a launch and replay it.

    Raises:
        BackendError: a shape is outside of the engine's profiles, or the launch fails or cannot be captured.
    """

    def __init__(
        self, engine: ContextSource, feed: Feed, stream: CapturingStream, *, cuda_graph: bool = False
    ) -> None:
        self.stream, self._engine = stream, engine
        try:
            shapes = {name: array.shape for name, array in feed.items()}
            self._context = engine.context(shapes, stream.handle)
            self._inputs = BoundArrays.of(stream, feed)
            found = {spec.name: tuple(self._context.get_tensor_shape(spec.name)) for spec in engine.outputs}
            self._outputs = BoundArrays(
                stream, {spec.name: (found[spec.name], np.dtype(spec.dtype).name) for spec in engine.outputs}
            )
            for arrays in (self._inputs, self._outputs):
                for name, address in arrays.addresses.items():
                    self._context.set_tensor_address(name, address)
            self._launch: Callable[[], None] = self._enqueue
            # The first launch at a shape sets the library up, which cannot be captured.
            self.upload()
            self.launch()
            stream.synchronize()
            if cuda_graph:
                self._launch = stream.capture(self._enqueue)
        except BaseException:
            self.close()
            raise

    def upload(self) -> None:
        """See `DeviceCall.upload`."""
        self._inputs.upload()

    def launch(self) -> None:
        """See `DeviceCall.launch`."""
        self._launch()

    def download(self) -> None:
        """See `DeviceCall.download`."""
        self._outputs.download()

    @property
    def results(self) -> Feed:
        """Outputs of the last call, once the stream is done; they die with this object."""
        return self._outputs.host

    def close(self) -> None:
        """See `DeviceCall.close`."""
        self._context = None
        self.stream.close()
        self._engine.close()

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self.stream.handle):
            raise BackendError("the engine refuses to run at these shapes")
