"""ONNX Runtime on CPU or CUDA."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from cfack_runtime.backends import Feed
from cfack_runtime.backends.onnxruntime_cuda import EXACT, load_cuda_libraries
from cfack_runtime.errors import BackendError
from cfack_runtime.manifest import TensorSpec

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
}
_ERRORS_ONLY = 3
_SLOW_ON_CPU = ["SkipLayerNormFusion", "BiasGeluFusion"]
"""Their CPU kernels take longer than the two operators that each replaces: the first four times as long, a
seventh of an INT8 re-ranking; the second an eighth longer, a hundredth of encoding an image."""


class OnnxRuntimeBackend:
    """One ONNX Runtime session.

    Shapes vary from call to call (caption lengths, last batches), so the memory pattern of the first call
    is not kept, and a CUDA arena grows by what is asked for and not by powers of two. On CUDA inputs and
    outputs are bound, so that each is copied once.

    Args:
        path: the ONNX file.
        device: "cpu", "cuda" or "cuda:N".
        threads: threads inside one operator; None: one a physical core.
        arena: keep what the largest batch took until the session is closed; off, memory is given back after
            every call, which is a twentieth slower.
        memory_limit: bytes that a CUDA session's arena may take; a batch that needs more is an error. The
            CPU has no such limit: there memory is bounded by the batches.

    Raises:
        BackendError: ONNX Runtime is not installed, cannot use the device, or cannot load the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        device: str = "cpu",
        threads: int | None = None,
        arena: bool = True,
        memory_limit: int | None = None,
    ) -> None:
        runtime = import_onnxruntime()
        provider, options = _provider(device, memory_limit)
        if provider not in runtime.get_available_providers():
            raise BackendError(
                f"device {device!r} needs {provider}, but this onnxruntime {runtime.__version__} has only "
                f"{', '.join(runtime.get_available_providers())}; {_remedy(device)}"
            )
        missing = "" if device == "cpu" else load_cuda_libraries(runtime)
        try:
            session = runtime.InferenceSession(
                str(path),
                _session_options(runtime, threads, arena),
                providers=[(provider, options)],
                disabled_optimizers=_SLOW_ON_CPU if device == "cpu" else None,
            )
        except Exception as error:  # its errors share no base class but Exception
            raise BackendError(f"{path}: ONNX Runtime cannot load it: {error}") from error
        # A provider whose libraries are missing is left out with a log line and no error.
        if provider not in session.get_providers():
            raise BackendError(
                f"{path}: {provider} was asked for, but ONNX Runtime fell back to "
                f"{', '.join(session.get_providers())}{missing and f' ({missing})'}; {_remedy(device)}"
            )
        self._path = path
        self._device = device
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
            arrays = (
                session.run(names, dict(feed)) if self._device == "cpu" else self._run_bound(session, feed)
            )
            return dict(zip(names, arrays, strict=True))
        except Exception as error:  # as above
            shapes = ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in feed.items())
            raise BackendError(f"{self._path}: failed on {shapes}: {error}") from error

    def _run_bound(self, session: Any, feed: Feed) -> list[NDArray[Any]]:
        """Run on a GPU with every input and output bound: one copy in and one copy out for each."""
        binding = session.io_binding()
        for name, value in feed.items():
            binding.bind_cpu_input(name, value)
        for spec in self._outputs:
            binding.bind_output(spec.name, "cpu")
        session.run_with_iobinding(binding)
        # They are in main memory already, and `copy_outputs_to_cpu` would copy them once more.
        return [value.numpy() for value in binding.get_outputs()]

    def close(self) -> None:
        """Free the session."""
        self._session = None


def import_onnxruntime() -> ModuleType:
    """Import it when it is needed.

    Raises:
        BackendError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            "onnxruntime cannot be imported; install it with `pip install 'cfack[cpu]'`, or "
            f"`pip install 'cfack[gpu]'` for CUDA, never both ({error})"
        ) from error
    module: ModuleType = onnxruntime
    return module


def open_built_in(graph: bytes) -> Any:
    """Make a session on the CPU of a graph of a few bytes, in one thread, the caller's.

    Raises:
        BackendError: ONNX Runtime is not installed.
    """
    runtime = import_onnxruntime()
    options = _session_options(runtime, threads=1, arena=False)
    return runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _session_options(runtime: ModuleType, threads: int | None, arena: bool) -> Any:
    options = runtime.SessionOptions()
    options.enable_cpu_mem_arena = arena
    options.enable_mem_pattern = False
    options.log_severity_level = _ERRORS_ONLY  # it writes to stderr, which is not a library's to use
    options.inter_op_num_threads = 1  # the graphs are chains; there is nothing to run side by side
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def _provider(device: str, memory_limit: int | None) -> tuple[str, dict[str, str]]:
    if device == "cpu":
        return "CPUExecutionProvider", {}
    options = {
        "device_id": device.partition(":")[2] or "0",
        "arena_extend_strategy": "kSameAsRequested",
        **EXACT,
    }
    if memory_limit is not None:
        options["gpu_mem_limit"] = str(memory_limit)
    return "CUDAExecutionProvider", options


def _remedy(device: str) -> str:
    if device == "cpu":
        return "install onnxruntime again"
    return (
        "uninstall onnxruntime, `pip install 'cfack[gpu]'`, which brings its CUDA and cuDNN, and check the "
        "driver with `cfack doctor`; or use device 'cpu'"
    )


def _spec(argument: Any) -> TensorSpec:
    shape = tuple(axis if isinstance(axis, int) else str(axis) for axis in argument.shape)
    return TensorSpec(argument.name, _DTYPES.get(argument.type, argument.type), shape)
