"""Which precision of a bundle is run."""

from __future__ import annotations

from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import BundleError

INT8_CPU = "int8-cpu"
"""Of its products in 8 bits a processor must be capable; see `require_exact_products`."""
# Best first. FP16 graphs are slower than FP32 on a CPU, and static INT8 slower than dynamic.
_BEST = {"cpu": ("fp32", INT8_CPU, "fp16", "int8"), "cuda": ("fp16", "fp32")}


def choose_precision(bundle: Bundle, wanted: str, device: str) -> str:
    """Settle on a precision that passed its comparison with PyTorch.

    Args:
        bundle: what to run.
        wanted: a precision of the bundle, or "auto": the best for the device.
        device: "cpu", "cuda" or "cuda:N".

    Raises:
        BundleError: the bundle has no such precision, or it failed its comparison.
    """
    passed = bundle.manifest.passed
    if wanted == "auto":
        best = [name for name in _BEST[device.partition(":")[0]] if name in passed]
        if not best:
            raise BundleError(
                f"{bundle.path}: of its precisions ({', '.join(bundle.manifest.graphs)}), none is known to "
                f"run on {device} and gave PyTorch's results when it was exported; export again"
            )
        return best[0]
    bundle.graph(wanted, "image_encoder")
    if wanted not in passed:
        raise BundleError(
            f"{bundle.path}: precision {wanted} did not give PyTorch's results when it was exported "
            f"(see parity.json) and is not run; use {' or '.join(passed) or 'another bundle'}"
        )
    return wanted
