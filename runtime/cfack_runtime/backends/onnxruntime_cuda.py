"""What ONNX Runtime needs to be told on CUDA: where its libraries lie, and that FP32 means FP32."""

from __future__ import annotations

import contextlib
import functools
import io
from types import ModuleType

_ERRORS_ONLY = 3

EXACT = {"use_tf32": "0"}
"""Options of the CUDA provider. By default it rounds the factors of FP32 products to TensorFloat-32, 10 bits
of mantissa; but a precision is a property of the graph, and engines are built without it too."""


@functools.cache
def load_cuda_libraries(runtime: ModuleType) -> str:
    """Load CUDA and cuDNN from the packages that come with `cfack[gpu]`, where they are installed.

    They lie in site-packages, where the system's loader does not look. Done once; what is not found there is
    looked for in the system's places. Errors alone are logged from then on by what no session has its own
    logger for.

    Args:
        runtime: the imported onnxruntime.

    Returns:
        What could not be loaded, in ONNX Runtime's words, which it would print; "" if nothing is missing.
    """
    # Its default logger warns on stderr, once a session, that a plugin beside its own CUDA has no device.
    runtime.set_default_logger_severity(_ERRORS_ONLY)
    preload = getattr(runtime, "preload_dlls", None)
    if preload is None:  # a build without CUDA, or older than the function
        return ""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        preload()
    return "; ".join(line.strip() for line in said.getvalue().splitlines() if line.strip())
