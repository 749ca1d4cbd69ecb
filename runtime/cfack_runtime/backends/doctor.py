"""What this machine can run, tried and not guessed, and the one thing to do for each that it cannot."""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass
from typing import Any

import numpy as np

from cfack_runtime.backends.engine_gpu import Gpu, list_gpus
from cfack_runtime.backends.engine_library import library_installed, library_remedy, load_library
from cfack_runtime.backends.engine_memory import PycudaDevice
from cfack_runtime.backends.onnxruntime_cuda import load_cuda_libraries
from cfack_runtime.engine import TENSORRT, TENSORRT_RTX
from cfack_runtime.errors import BackendError

# ONNX: y = Identity(x), two floats, opset 17.
_TINY_GRAPH = (
    b'\x08\x08:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02'
    b"\x08\x02b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x02B\x04\n\x00\x10\x11"
)
_SILENT = 4
_ONNXRUNTIME_PACKAGES = ("onnxruntime", "onnxruntime-gpu")


@dataclass(frozen=True)
class Diagnosis:
    """What was found out about one backend, or about something that backends need."""

    name: str
    runs: bool
    version: str = ""
    """Empty if it is not installed."""
    detail: str = ""
    remedy: str = ""
    """The one thing to do; empty if it runs."""
    backend: bool = True
    """False for what is no backend itself: the driver, PyCUDA."""


def diagnose() -> tuple[Diagnosis, ...]:
    """Try everything that could run a graph; a failure is a result and not an error."""
    gpu = _gpu()
    pycuda = _pycuda(gpu)
    return (
        _onnxruntime("onnxruntime cpu", "CPUExecutionProvider"),
        _onnxruntime("onnxruntime cuda", "CUDAExecutionProvider", gpu),
        _engines(TENSORRT, gpu, pycuda),
        _engines(TENSORRT_RTX, gpu, pycuda),
        gpu,
        pycuda,
    )


def _onnxruntime(name: str, provider: str, gpu: Diagnosis | None = None) -> Diagnosis:
    extra = "cpu" if gpu is None else "gpu"
    install = f"pip install 'cfack[{extra}]'"
    try:
        runtime: Any = importlib.import_module("onnxruntime")
        version = str(runtime.__version__)
    except Exception as error:  # a broken installation raises what it likes
        return Diagnosis(name, False, "", _line(error), install)
    both = [package for package in _ONNXRUNTIME_PACKAGES if _installed(package)]
    if len(both) > 1:
        remedy = f"pip uninstall -y {' '.join(both)}; {install}"
        return Diagnosis(name, False, version, "onnxruntime and onnxruntime-gpu overwrite each other", remedy)
    if provider not in runtime.get_available_providers():
        remedy = f"pip uninstall -y onnxruntime; {install}"
        return Diagnosis(name, False, version, f"this build has no {provider}", remedy)
    if gpu is not None and not gpu.runs:
        return Diagnosis(name, False, version, gpu.detail, gpu.remedy)
    try:
        missing = "" if gpu is None else load_cuda_libraries(runtime)
        runtime.set_default_logger_severity(_SILENT)
        options = runtime.SessionOptions()
        options.log_severity_level = _SILENT
        session = runtime.InferenceSession(_TINY_GRAPH, options, providers=[provider])
        values = np.array([1.5, -2.0], np.float32)
        right = bool(np.array_equal(session.run(None, {"x": values})[0], values))
        got = session.get_providers()
    except Exception as error:  # its errors share no base class but Exception
        return Diagnosis(name, False, version, _line(error), "reinstall onnxruntime")
    if provider not in got:
        remedy = f"{install}, which brings CUDA and cuDNN of the versions that it needs"
        return Diagnosis(name, False, version, missing or f"fell back to {', '.join(got)}", remedy)
    if not right:
        return Diagnosis(
            name, False, version, "a graph of one node gave a wrong result", "reinstall onnxruntime"
        )
    return Diagnosis(name, True, version, "a graph was loaded and run")


def _engines(name: str, gpu: Diagnosis, pycuda: Diagnosis) -> Diagnosis:
    try:
        library = load_library(name)
    except BackendError as error:
        detail = _line(error).split("; ")[0] if library_installed(name) else "not installed"
        remedy = library_remedy(name).removeprefix("install it with ").strip("`")
        return Diagnosis(name, False, "", detail, remedy)
    builds = (
        f"builds for {', '.join(library.targets)} without a GPU"
        if library.builds_without_gpu
        else "builds for the GPU that is here"
    )
    for need in (gpu, pycuda):
        if not need.runs:
            return Diagnosis(
                name, False, library.version, f"{builds}; cannot run: {need.detail}", need.remedy
            )
    return Diagnosis(name, True, library.version, builds)


def _gpu() -> Diagnosis:
    try:
        gpus = list_gpus()
    except BackendError as error:
        detail, _, remedy = str(error).partition("; ")
        return Diagnosis("gpu driver", False, "", detail, remedy, backend=False)
    if not gpus:
        remedy = "check `nvidia-smi` and CUDA_VISIBLE_DEVICES"
        return Diagnosis("gpu driver", False, "", "the NVIDIA driver sees no GPU", remedy, backend=False)
    return Diagnosis("gpu driver", True, f"CUDA {gpus[0].driver_cuda}", _describe(gpus), backend=False)


def _describe(gpus: tuple[Gpu, ...]) -> str:
    return "; ".join(f"{gpu.index}: {gpu.name}, compute capability {gpu.compute_capability}" for gpu in gpus)


def _pycuda(gpu: Diagnosis) -> Diagnosis:
    version = _installed("pycuda")
    if not version:
        return Diagnosis("pycuda", False, "", "PyCUDA is not installed", "pip install pycuda", backend=False)
    if not gpu.runs:
        return Diagnosis("pycuda", False, version, gpu.detail, gpu.remedy, backend=False)
    try:
        PycudaDevice(0).close()
    except BackendError as error:
        return Diagnosis(
            "pycuda", False, version, _line(error), "pip install --force-reinstall pycuda", False
        )
    return Diagnosis("pycuda", True, version, "GPU 0 can be used", backend=False)


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
