"""A graph whose inputs and outputs lie in memory that we own, whatever library runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from cfack_bench.device.call import DeviceStream
from cfack_runtime.backends import Feed

Shapes = Mapping[str, tuple[Sequence[int], str]]
"""Name -> (shape, type)."""


class CopyStream(DeviceStream, Protocol):
    """A stream that also allocates and copies; `CudaStream`, or a test's."""

    @property
    def handle(self) -> int:
        """What CUDA calls it."""

    def reserve(self, size: int) -> int:
        """Allocate bytes of device memory."""

    def host_array(self, shape: Sequence[int], dtype: str) -> NDArray[Any]:
        """Make an array in page-locked memory."""

    def copy_in(self, address: int, array: NDArray[Any]) -> None:
        """Copy an array to the device."""

    def copy_out(self, array: NDArray[Any], address: int) -> None:
        """Copy device memory into an array."""

    def close(self) -> None:
        """Free all of it."""


class BoundArrays:
    """Arrays with a place on the host and one on the device.

    Args:
        stream: allocates and copies.
        shapes: name -> (shape, type).
    """

    def __init__(self, stream: CopyStream, shapes: Shapes) -> None:
        self._stream = stream
        self.host = {name: stream.host_array(shape, dtype) for name, (shape, dtype) in shapes.items()}
        self.addresses = {name: stream.reserve(array.nbytes) for name, array in self.host.items()}

    @classmethod
    def of(cls, stream: CopyStream, feed: Feed) -> BoundArrays:
        """Take over the values of arrays."""
        made = cls(stream, {name: (array.shape, array.dtype.name) for name, array in feed.items()})
        for name, array in feed.items():
            made.host[name][...] = array
        return made

    def upload(self) -> None:
        """Copy all to the device."""
        for name, array in self.host.items():
            self._stream.copy_in(self.addresses[name], array)

    def download(self) -> None:
        """Copy all to the host; they hold once the stream is done."""
        for name, array in self.host.items():
            self._stream.copy_out(array, self.addresses[name])
