"""The stage that makes the FP16 graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cfack_export.graph_folder import GraphFolder
from cfack_export.precision.calibration_feeds import CalibrationFeeds
from cfack_export.precision.fp16 import to_fp16
from cfack_export.stage_clock import part_of
from cfack_runtime.progress import ProgressCallback


def convert_fp16(
    fp32: GraphFolder, feeds: CalibrationFeeds, folder: Path, progress: ProgressCallback
) -> dict[str, Any]:
    """Write the FP16 form of every graph; nodes that FP16 could not hold stay in FP32.

    Args:
        fp32: the FP32 graphs.
        feeds: calls that show how large values get.
        folder: gets graphs of the same names.
        progress: counts calls, in parts of a graph.

    Returns:
        What was done, for `parity.json`.

    Raises:
        ParityError: tokens, which galleries hold in float16, are too large for it.
        BackendError: ONNX Runtime is missing or cannot run a graph.
    """
    graphs = {}
    for number, name in enumerate(fp32.sha256):
        step = part_of(progress, number, len(fp32.sha256))
        report = to_fp16(fp32.file(name), folder / f"{name}.onnx", name, feeds.of(name), progress=step)
        graphs[name] = report.to_json()
    return {"calibration": feeds.samples.to_json(), "graphs": graphs}
