"""The stage that makes the 8-bit graphs for a CPU, and leaves out the layers that cost images."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cfack_export.parity import ParityGate
from cfack_export.parity.backends import open_folder
from cfack_export.parity.limits import INT8_CPU
from cfack_export.precision.int8_cpu import to_int8_cpu
from cfack_export.precision.layers import quantizable_layers
from cfack_export.precision.reports import Int8Report
from cfack_export.precision.restore import restore_layers
from cfack_runtime.graph_contract import IMAGE_ENCODER, RERANKER, TEXT_ENCODER
from cfack_runtime.progress import ProgressCallback

_REPORT_NAME = "conversion.json"
_TRIALS = 8


def convert_int8_cpu(fp32: Path, folder: Path, gate: ParityGate, progress: ProgressCallback) -> None:
    """Write the 8-bit form of every graph in a folder, as far as retrieval allows.

    Where R@1 falls by more than the gate allows, layers return to FP32 until it does not: those of the
    re-ranker first and of each graph the last ones first, for nothing after them can mend their error. What
    comes out was measured, so an order that is not the best costs layers and never accuracy.

    Args:
        fp32: folder with the FP32 graphs.
        folder: gets graphs of the same names, and a report that `read_conversion` reads.
        gate: with a reference that has a sample.
        progress: counts measurements.

    Raises:
        BundleError: a graph cannot be read.
        BackendError: ONNX Runtime is missing or cannot load a graph.
    """
    measured = 0

    def drop(exclude: tuple[str, ...]) -> float:
        nonlocal measured
        with tempfile.TemporaryDirectory(dir=folder, prefix=".trial-") as trial:
            _convert(fp32, Path(trial), exclude)
            with open_folder(Path(trial), INT8_CPU) as graphs:
                points = gate.drop(INT8_CPU, graphs.runs)
        measured += 1
        progress(measured, _TRIALS)
        return points

    order = [
        layer
        for graph in (RERANKER, TEXT_ENCODER, IMAGE_ENCODER)
        for layer in reversed(quantizable_layers(fp32 / f"{graph}.onnx"))
    ]
    restored = restore_layers(order, drop, budget=gate.limits(INT8_CPU).r1_drop, trials=_TRIALS)
    reports = _convert(fp32, folder, restored.exclude)
    content = {
        "restored": asdict(restored),
        "graphs": {name: report.to_json() for name, report in reports.items()},
    }
    (folder / _REPORT_NAME).write_text(json.dumps(content))


def read_conversion(folder: Path) -> dict[str, Any] | None:
    """Which layers were quantised and which returned to FP32; None for a folder of FP32 graphs."""
    path = folder / _REPORT_NAME
    return json.loads(path.read_text()) if path.is_file() else None


def _convert(fp32: Path, folder: Path, exclude: Collection[str]) -> dict[str, Int8Report]:
    return {
        file.stem: to_int8_cpu(file, folder / file.name, file.stem, exclude=exclude)
        for file in sorted(fp32.glob("*.onnx"))
    }
