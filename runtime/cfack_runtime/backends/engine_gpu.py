"""Which GPUs this machine has, asked of the driver itself: no package is needed for it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from cfack_runtime.errors import BackendError

_LIBRARIES = ("libcuda.so.1", "nvcuda.dll")
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_NAME_BYTES = 256


@dataclass(frozen=True)
class Gpu:
    """One GPU."""

    index: int
    name: str
    compute_capability: str
    """For example "8.9"."""
    driver_cuda: str
    """The newest CUDA that the driver runs, for example "13.0"."""


def list_gpus() -> tuple[Gpu, ...]:
    """List the GPUs that CUDA can use.

    Raises:
        BackendError: there is no driver, or it does not answer.
    """
    driver = _load_driver()
    _call(driver.cuInit(0), "cuInit")
    version, count = ctypes.c_int(), ctypes.c_int()
    _call(driver.cuDriverGetVersion(ctypes.byref(version)), "cuDriverGetVersion")
    _call(driver.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return tuple(_gpu(driver, index, cuda) for index in range(count.value))


def find_gpu(index: int) -> Gpu:
    """Return one GPU.

    Raises:
        BackendError: it is not there.
    """
    gpus = list_gpus()
    if index >= len(gpus):
        raise BackendError(
            f"there is no GPU {index}, only {len(gpus)}; name one of them, as in device 'cuda:0'"
            if gpus
            else "the NVIDIA driver sees no GPU; check `nvidia-smi` and CUDA_VISIBLE_DEVICES"
        )
    return gpus[index]


def _load_driver() -> Any:
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise BackendError(
        "there is no NVIDIA driver here (libcuda cannot be loaded); install the NVIDIA driver, or use the CPU"
    )


def _call(status: int, function: str) -> None:
    if status == 100:  # CUDA_ERROR_NO_DEVICE
        raise BackendError("the NVIDIA driver sees no GPU; check `nvidia-smi` and CUDA_VISIBLE_DEVICES")
    if status:
        raise BackendError(
            f"the NVIDIA driver does not answer ({function}: error {status}); see `nvidia-smi`"
        )


def _gpu(driver: Any, index: int, cuda: str) -> Gpu:
    device, name = ctypes.c_int(), ctypes.create_string_buffer(_NAME_BYTES)
    _call(driver.cuDeviceGet(ctypes.byref(device), index), "cuDeviceGet")
    _call(driver.cuDeviceGetName(name, _NAME_BYTES, device), "cuDeviceGetName")
    sizes = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        _call(driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device), "cuDeviceGetAttribute")
        sizes.append(value.value)
    return Gpu(index, name.value.decode(errors="replace"), f"{sizes[0]}.{sizes[1]}", cuda)
