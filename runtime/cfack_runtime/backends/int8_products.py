"""Whether this processor multiplies in 8 bits exactly.

ONNX Runtime adds products of unsigned and signed bytes up in pairs. Without VNNI instructions a pair is kept
in 16 bits and cut off at 32767, and nothing says so: `int8-cpu` graphs would rank otherwise than where they
were measured.
"""

from __future__ import annotations

import functools

import numpy as np

from cfack_runtime.backends.onnxruntime import open_built_in
from cfack_runtime.errors import BackendError

# ONNX, opset 17: y = Cast(MatMulInteger(x, Expand(int8 127, (64, 64))), float32), x uint8 (n, 64).
_GRAPH = (
    b'\x08\x08:\x8c\x01\x0a\x11\x0a\x01w\x0a\x01s\x12\x01\x62"\x06\x45xpand\x0a\x18\x0a\x01x\x0a'
    b'\x01\x62\x12\x01p"\x0dMatMulInteger\x0a\x17\x0a\x01p\x12\x01y"\x04'
    b"Cast*\x09\x0a\x02to\x18\x01\xa0\x01\x02\x12\x01g*\x08\x10\x03*\x01\x7f\x42\x01w*\x0b"
    b"\x08\x02\x10\x07:\x02@@B\x01sZ\x14\x0a\x01x\x12\x0f\x0a\x0d\x08\x02\x12\x09\x0a\x03\x12\x01n\x0a"
    b"\x02\x08@b\x14\x0a\x01y\x12\x0f\x0a\x0d\x08\x01\x12\x09\x0a\x03\x12\x01n\x0a\x02\x08@B\x04\x0a\x00\x10"
    b"\x11"
)
_ROWS, _LARGEST, _WIDTH = 16, 255, 64


def require_exact_products() -> None:
    """Multiply the largest bytes that there are.

    Raises:
        BackendError: the sum is wrong, or ONNX Runtime is not here.
    """
    got, expected = _product(), float(_LARGEST * 127 * _WIDTH)
    if got != expected:
        raise BackendError(
            "precision int8-cpu is not run here: this processor adds 8-bit products up inexactly (got "
            f"{got:.0f}, expected {expected:.0f}), as those without AVX512-VNNI or AVX-VNNI do; use fp32"
        )


@functools.cache
def _product() -> float:
    largest = np.full((_ROWS, _WIDTH), _LARGEST, np.uint8)
    (sums,) = open_built_in(_GRAPH).run(None, {"x": largest})
    return float(sums.min())
