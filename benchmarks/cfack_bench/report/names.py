"""What candidates and sizes are called in tables and plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cfack_bench.candidates import (
    AUTOCAST,
    BUILDERS,
    COMPILED,
    ONNXRUNTIME,
    PLAIN,
    PYTORCH,
    REFUSED,
    TENSORRT,
    TENSORRT_RTX,
)
from cfack_bench.cases import (
    COLD_START,
    GPU_IMAGES,
    GPU_RERANKING,
    GPU_TEXTS,
    IMAGES,
    OPEN_LOOP,
    QUERY,
    RERANKING,
    SEARCH,
    TEXTS,
)
from cfack_bench.results import Results
from cfack_bench.row import Row
from cfack_runtime.scoring import LOGIT

_SHORT = {
    ONNXRUNTIME: "ORT",
    PLAIN: "plain ORT",
    PYTORCH: "PyTorch",
    COMPILED: "compiled",
    AUTOCAST: "",
    TENSORRT: "TensorRT",
    TENSORRT_RTX: "TRT-RTX",
}
_LONG = {
    ONNXRUNTIME: "ONNX Runtime, by cfack_runtime",
    PLAIN: "baseline: ONNX Runtime with its defaults, plain calls of the same graphs",
    PYTORCH: "baseline: PyTorch, eager",
    COMPILED: "baseline: PyTorch, torch.compile",
    AUTOCAST: "baseline: PyTorch, eager under autocast",
    TENSORRT: "TensorRT, by cfack_runtime",
    TENSORRT_RTX: "TensorRT for RTX, by cfack_runtime",
}


def label(account: Mapping[str, Any]) -> str:
    """Short name of a candidate, for example "ORT fp32"; engines run on a GPU without saying so."""
    short = _SHORT.get(account["backend"], account["backend"])
    return " ".join(part for part in (short, account["precision"], _device(account)) if part)


def title(account: Mapping[str, Any]) -> str:
    """Name of a candidate for readers who have not seen a table before."""
    names = {
        ONNXRUNTIME: "CFACK, ONNX Runtime",
        PLAIN: "plain ONNX Runtime",
        COMPILED: "torch.compile",
        AUTOCAST: "PyTorch",
        TENSORRT: "CFACK, TensorRT",
        TENSORRT_RTX: "CFACK, TensorRT for RTX",
    }
    name = names.get(account["backend"]) or _SHORT.get(account["backend"], account["backend"])
    return ", ".join(part for part in (name, account["precision"], _device(account)) if part)


def describe(account: Mapping[str, Any]) -> str:
    """What a candidate is, in words."""
    return _LONG.get(account["backend"], str(account["backend"]))


def accuracy(results: Results, account: Mapping[str, Any], depth: float | None = None) -> str:
    """What stands beside every speed: R@1, or the largest difference from PyTorch.

    Args:
        results: the run.
        account: of a candidate.
        depth: candidates re-ranked; None for as many as were measured.
    """
    summary = account["parity"]
    if account["status"] == REFUSED:
        return "gate failed"
    points = {point["candidates"]: point["r1"] for point in curve(results, account)}
    if points and (depth is None or depth in points):
        return f"R@1 {points[max(points) if depth is None else depth]:.1f}"
    if summary is None:
        return "reference"
    figure = "dual_r1" if depth == 0 else "reranked_r1"
    # The gate re-ranks by logit.
    same_order = depth == 0 or results.score == LOGIT
    if summary.get("retrieval_measured") and figure in summary and same_order:
        return f"R@1 {summary[figure]:.1f}"
    errors = [value for name, value in summary.items() if name.endswith("_error")]
    return f"err {max(errors):.0e}" if errors else "passed"


def parity(account: Mapping[str, Any]) -> str:
    """The gate of the bundle in a word or two; "-" for what is not compared with PyTorch."""
    summary = account["parity"]
    if summary is None:
        return "-"
    errors = [value for name, value in summary.items() if name.endswith("_error")]
    words = "passed" if summary["passed"] is True else "failed"
    return f"{words}, err {max(errors):.0e}" if errors else words


def curve(results: Results, account: Mapping[str, Any]) -> list[dict[str, float]]:
    """R@1 against candidates as measured in this run: of the candidate, or of what calculates the same.

    Plain calls of the same graphs rank as the runtime does, and a compiled model as it does without.
    """
    same = {PLAIN: ONNXRUNTIME, COMPILED: PYTORCH}.get(account["backend"], account["backend"])
    found = next(
        (
            other["id"]
            for other in results.candidates
            if (other["backend"], other["precision"], other["device"])
            == (same, account["precision"], account["device"])
        ),
        account["id"],
    )
    return results.curve(found)


SIZE_HEADINGS = {
    QUERY: "K",
    OPEN_LOOP: "K at rate",
    IMAGES: "batch",
    GPU_IMAGES: "batch",
    TEXTS: "tokens",
    GPU_TEXTS: "tokens",
    RERANKING: "K x tokens",
    GPU_RERANKING: "K x tokens",
    SEARCH: "images",
    COLD_START: "",
}
"""What the column of sizes says, for each measurement; K is the number of candidates."""


def size(row: Row) -> str:
    """The parameters of a row, under their `SIZE_HEADINGS`."""
    value = {name: f"{number:g}" for name, number in row.case.parameters.items()}
    measure = row.case.measure
    graph = " graph" if value.get("cuda_graph") == "1" else ""
    if measure == QUERY:
        return value["candidates"] + _unless_one(value["clients"], ", {} clients")
    if measure == OPEN_LOOP:
        return f"{value['candidates']} at {row.details.get('rate', float('nan')):.3g}/s"
    if measure in (IMAGES, GPU_IMAGES):
        return value["batch"] + graph
    if measure in (TEXTS, GPU_TEXTS):
        return value["tokens"] + _unless_one(value["batch"], " x {}") + graph
    if measure in (RERANKING, GPU_RERANKING):
        return f"{value['candidates']} x {value['tokens']}{graph}"
    if measure == SEARCH:
        return value["gallery"] + _unless_one(value["queries"], ", {} q")
    return " ".join(f"{name} {number}" for name, number in value.items())


def _device(account: Mapping[str, Any]) -> str:
    return "" if account["device"] == "cpu" or account["backend"] in BUILDERS else str(account["device"])


def _unless_one(count: str, text: str) -> str:
    return "" if count == "1" else text.format(count)
