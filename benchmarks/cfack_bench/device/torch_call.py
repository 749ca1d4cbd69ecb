"""PyTorch on CUDA with page-locked memory, launched call by call or as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cfack_bench.device.call import MARKS
from cfack_runtime.backends import Feed


class TorchStream:
    """PyTorch's events in the current stream of a device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        make: Any = torch.cuda.Event  # published without types
        self._events = [make(enable_timing=True) for _ in range(MARKS)]

    def mark(self, place: int) -> None:
        """See `DeviceStream.mark`."""
        self._events[place].record()

    def milliseconds(self, first: int, last: int) -> float:
        """See `DeviceStream.milliseconds`."""
        return float(self._events[first].elapsed_time(self._events[last]))

    def synchronize(self) -> None:
        """See `DeviceStream.synchronize`."""
        torch.cuda.synchronize(self._device)


class TorchCall:
    """A function of tensors at fixed shapes.

    Args:
        work: input tensors on the device, by name -> output tensors.
        feed: what goes in.
        device: the GPU.
        cuda_graph: capture the work and replay it.
    """

    _WARM_UP = 3
    """Calls before capturing: PyTorch's documentation asks for a few on a stream beside the usual one."""

    def __init__(
        self,
        work: Callable[[dict[str, torch.Tensor]], tuple[torch.Tensor, ...]],
        feed: Feed,
        device: torch.device,
        *,
        cuda_graph: bool = False,
    ) -> None:
        torch.cuda.set_device(device)
        self.stream = TorchStream(device)
        self._work = work
        self._host = {name: torch.from_numpy(np.array(value)).pin_memory() for name, value in feed.items()}
        self._inputs = {name: tensor.to(device) for name, tensor in self._host.items()}
        self._graph: torch.cuda.CUDAGraph | None = None
        make: Any = torch.cuda.Stream  # published without types
        aside = make(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(self._WARM_UP):
                self._outputs = self._run()
        torch.cuda.current_stream(device).wait_stream(aside)
        if cuda_graph:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._outputs = self._run()
        self._results = [torch.empty_like(output, device="cpu").pin_memory() for output in self._outputs]

    def upload(self) -> None:
        """See `DeviceCall.upload`."""
        for name, tensor in self._host.items():
            self._inputs[name].copy_(tensor, non_blocking=True)

    def launch(self) -> None:
        """See `DeviceCall.launch`."""
        if self._graph is None:
            self._outputs = self._run()
        else:
            self._graph.replay()

    def download(self) -> None:
        """See `DeviceCall.download`."""
        for result, output in zip(self._results, self._outputs, strict=True):
            result.copy_(output, non_blocking=True)

    @property
    def results(self) -> list[NDArray[np.generic]]:
        """Outputs of the last call, once the device is done."""
        return [result.numpy() for result in self._results]

    def close(self) -> None:
        """See `DeviceCall.close`."""
        self.stream.synchronize()
        self._graph = None
        self._inputs.clear()
        torch.cuda.empty_cache()

    def _run(self) -> tuple[torch.Tensor, ...]:
        with torch.inference_mode():
            return self._work(self._inputs)
