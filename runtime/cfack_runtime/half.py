"""From float16 to float32: what lies on a disk in half the bytes, and is computed with in whole.

NumPy converts value by value; ONNX Runtime has the processor's own instructions for it. The tokens of 128
candidates of base size take 114 ms the one way and 27 the other, in one thread.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cfack_runtime.backends.onnxruntime import open_built_in
from cfack_runtime.errors import BackendError

# ONNX: y = Cast(x, float32), a vector of float16, opset 17.
_CAST = (
    b'\x08\x08:C\n\x17\n\x01x\x12\x01y"\x04\x43\x61st*\t\n\x02to\x18\x01\xa0\x01\x02\x12\x04\x63\x61stZ\x10\n\x01x\x12\x0b\n\t'
    b"\x08\n\x12\x05\n\x03\x12\x01nb\x10\n\x01y\x12\x0b\n\t\x08\x01\x12\x05\n\x03\x12\x01nB\x04\n\x00\x10\x11"
)
_LEAST = 1 << 14
"""Values from which a call is worth it."""


def as_type(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """The same values in C order, in another float type; the array itself where it is that already."""
    if np.dtype(dtype) == np.float32 and array.dtype == np.float16 and array.size >= _LEAST:
        session = _session()
        if session is not None:
            return _widen(session, np.ascontiguousarray(array))
    return np.ascontiguousarray(array, dtype=dtype)


def _widen(session: Any, halves: NDArray[np.float16]) -> NDArray[np.float32]:
    # Into large pages, which NumPy asks the system for: by itself ONNX Runtime takes four times as long.
    wide = np.empty(halves.shape, np.float32)
    size = [halves.size]
    binding = session.io_binding()
    binding.bind_input("x", "cpu", 0, np.float16, size, halves.ctypes.data)
    binding.bind_output("y", "cpu", 0, np.float32, size, wide.ctypes.data)
    session.run_with_iobinding(binding)
    return wide


@functools.cache
def _session() -> Any:
    """None where ONNX Runtime is not installed, beside an engine."""
    try:
        return open_built_in(_CAST)
    except BackendError:
        return None
