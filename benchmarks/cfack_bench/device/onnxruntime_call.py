"""ONNX Runtime on CUDA with bound memory and our stream, with and without its CUDA graphs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cfack_bench.device.bound import BoundArrays, CopyStream, Shapes
from cfack_runtime.backends import Feed
from cfack_runtime.backends.onnxruntime_cuda import EXACT, load_cuda_libraries
from cfack_runtime.errors import BackendError

_ERRORS_ONLY = 3


class OnnxRuntimeCall:
    """One session for one shape.

    Args:
        path: of the ONNX file.
        feed: what goes in.
        shapes: of the outputs, name -> (shape, type).
        stream: closed with this object.
        index: of the GPU.
        cuda_graph: have ONNX Runtime capture the first run and replay it.
        device: "cuda"; a test says "cpu".

    Raises:
        BackendError: ONNX Runtime has no CUDA, or cannot load, run or capture the graph.
    """

    def __init__(
        self,
        path: Path,
        feed: Feed,
        shapes: Shapes,
        stream: CopyStream,
        *,
        index: int = 0,
        cuda_graph: bool = False,
        device: str = "cuda",
    ) -> None:
        import onnxruntime

        self.stream = stream
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        provider, settings = "CPUExecutionProvider", {}
        if device == "cuda":
            load_cuda_libraries(onnxruntime)
            provider = "CUDAExecutionProvider"
            settings = {
                "device_id": str(index),
                "user_compute_stream": str(stream.handle),
                "enable_cuda_graph": str(int(cuda_graph)),
                **EXACT,
            }
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=[(provider, settings)])
            if provider not in session.get_providers():
                raise BackendError(f"fell back to {', '.join(session.get_providers())}")
            self._inputs = BoundArrays.of(stream, feed)
            self._outputs = BoundArrays(stream, shapes)
            self._session: Any = session
            self._binding = session.io_binding()
            for arrays, bind in (
                (self._inputs, self._binding.bind_input),
                (self._outputs, self._binding.bind_output),
            ):
                for name, array in arrays.host.items():
                    bind(name, device, index, array.dtype.type, array.shape, arrays.addresses[name])
            self._run_options = onnxruntime.RunOptions()
            # Events in the stream tell when it is done; waiting would count as part of the graph.
            self._run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")
            self.upload()
            self.launch()
            stream.synchronize()
        except Exception as error:  # its errors share no base class but Exception
            stream.close()
            graphs = " with CUDA graphs" if cuda_graph else ""
            raise BackendError(f"{path.name}: ONNX Runtime on {device}{graphs}: {_reason(error)}") from error

    def upload(self) -> None:
        """See `DeviceCall.upload`."""
        self._inputs.upload()

    def launch(self) -> None:
        """See `DeviceCall.launch`."""
        self._session.run_with_iobinding(self._binding, self._run_options)

    def download(self) -> None:
        """See `DeviceCall.download`."""
        self._outputs.download()

    @property
    def results(self) -> Feed:
        """Outputs of the last call, once the stream is done; they die with this object."""
        return self._outputs.host

    def close(self) -> None:
        """See `DeviceCall.close`."""
        self.stream.synchronize()
        self._binding = self._session = None
        self.stream.close()


def _reason(error: Exception) -> str:
    """What CUDA said: ONNX Runtime puts lines of its own code around it, and the machine's name."""
    found = re.search(r"CUDA failure \d+: [^;]+", str(error))
    return found[0].strip() if found else str(error)
