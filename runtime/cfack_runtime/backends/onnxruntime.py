"""ONNX Runtime on CPU or CUDA."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from cfack_runtime.backends import Feed
from cfack_runtime.errors import BackendError
from cfack_runtime.manifest import TensorSpec

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
}
_ERRORS_ONLY = 3


class OnnxRuntimeBackend:
    """One ONNX Runtime session.

    Shapes vary from call to call (caption lengths, last batches), so the memory pattern of the first call
    is not kept, and a CUDA arena grows by what is asked for and not by powers of two. The CPU arena stays
    on, which is a twentieth faster; it keeps what the largest batch took until the session is closed.

    Args:
        path: the ONNX file.
        device: "cpu", "cuda" or "cuda:N".
        threads: threads inside one operator; None: one a physical core.

    Raises:
        BackendError: ONNX Runtime is not installed, cannot use the device, or cannot load the file.
    """

    def __init__(self, path: Path, *, device: str = "cpu", threads: int | None = None) -> None:
        runtime = _import_onnxruntime()
        provider, options = _provider(device)
        if provider not in runtime.get_available_providers():
            raise BackendError(
                f"device {device!r} needs {provider}, but this onnxruntime {runtime.__version__} has only "
                f"{', '.join(runtime.get_available_providers())}; {_remedy(device)}"
            )
        try:
            session = runtime.InferenceSession(
                str(path), _session_options(runtime, threads), providers=[(provider, options)]
            )
        except Exception as error:  # its errors share no base class but Exception
            raise BackendError(f"{path}: ONNX Runtime cannot load it: {error}") from error
        # A provider whose libraries are missing is left out with a log line and no error.
        if provider not in session.get_providers():
            raise BackendError(
                f"{path}: {provider} was asked for, but ONNX Runtime fell back to "
                f"{', '.join(session.get_providers())}; {_remedy(device)}"
            )
        self._path = path
        self._session: Any = session
        self._inputs = tuple(_spec(argument) for argument in session.get_inputs())
        self._outputs = tuple(_spec(argument) for argument in session.get_outputs())

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs that the loaded graph declares."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs that the loaded graph declares."""
        return self._outputs

    def run(self, feed: Feed) -> dict[str, NDArray[Any]]:
        """Run the graph once; see `Backend.run`."""
        session = self._session
        if session is None:
            raise BackendError(f"{self._path}: the graph was closed; open it again")
        names = [spec.name for spec in self._outputs]
        try:
            return dict(zip(names, session.run(names, dict(feed)), strict=True))
        except Exception as error:  # as above
            shapes = ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in feed.items())
            raise BackendError(f"{self._path}: failed on {shapes}: {error}") from error

    def close(self) -> None:
        """Free the session."""
        self._session = None


def _import_onnxruntime() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            "onnxruntime cannot be imported; install it with `pip install 'cfack[cpu]'`, or "
            f"`pip install 'cfack[gpu]'` for CUDA, never both ({error})"
        ) from error
    module: ModuleType = onnxruntime
    return module


def _session_options(runtime: ModuleType, threads: int | None) -> Any:
    options = runtime.SessionOptions()
    options.enable_mem_pattern = False
    options.log_severity_level = _ERRORS_ONLY  # it writes to stderr, which is not a library's to use
    options.inter_op_num_threads = 1  # the graphs are chains; there is nothing to run side by side
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def _provider(device: str) -> tuple[str, dict[str, str]]:
    if device == "cpu":
        return "CPUExecutionProvider", {}
    index = device.partition(":")[2] or "0"
    return "CUDAExecutionProvider", {"device_id": index, "arena_extend_strategy": "kSameAsRequested"}


def _remedy(device: str) -> str:
    if device == "cpu":
        return "install onnxruntime again"
    return (
        "uninstall onnxruntime, `pip install 'cfack[gpu]'`, and check that its CUDA and cuDNN versions are "
        "installed; or use device 'cpu'"
    )


def _spec(argument: Any) -> TensorSpec:
    shape = tuple(axis if isinstance(axis, int) else str(axis) for axis in argument.shape)
    return TensorSpec(argument.name, _DTYPES.get(argument.type, argument.type), shape)
