"""The stage that measures the ranges of activations, and the samples that it measures them on."""

from __future__ import annotations

from pathlib import Path

from cfack.data.annotations import split_path
from cfack_export.graph_folder import GraphFolder
from cfack_export.options import ExportOptions
from cfack_export.parity.limits import INT8
from cfack_export.parity.rows import make_rows
from cfack_export.precision.calibration import CalibrationSamples, calibration_samples, read_calibration
from cfack_export.precision.calibration_feeds import CalibrationFeeds
from cfack_export.precision.histograms import Histogram, read_histograms, write_histograms
from cfack_export.precision.int8 import calibrate
from cfack_export.stage_clock import part_of
from cfack_runtime.graph_contract import IMAGE_ENCODER, TEXT_ENCODER
from cfack_runtime.manifest import Geometry
from cfack_runtime.progress import ProgressCallback
from cfack_runtime.tokenizer import CaptionTokenizer

_SPLIT = "train"


def choose_samples(
    options: ExportOptions, geometry: Geometry, tokenizer: CaptionTokenizer
) -> CalibrationSamples:
    """Take images and captions of the training split.

    Only the range check of FP16 may do without: then it has the gate's drawn pictures and captions.

    Raises:
        DataError: the data set has no training split, or an image of it cannot be read.
    """
    data = options.data
    if data is not None and (INT8 in options.precisions or split_path(data, _SPLIT).is_file()):
        return read_calibration(data, geometry, tokenizer, split=_SPLIT, count=options.calibration)
    rows = make_rows(geometry, tokenizer)
    return calibration_samples(
        "drawn pictures and captions",
        rows.pixels,
        rows.input_ids[rows.pair_texts],
        rows.attention_mask[rows.pair_texts],
    )


def calibration_feeds(samples: CalibrationSamples, fp32: GraphFolder) -> CalibrationFeeds:
    """Calls of the FP32 graphs with the samples."""
    return CalibrationFeeds(samples, {name: fp32.file(name) for name in (IMAGE_ENCODER, TEXT_ENCODER)})


def count_activations(
    fp32: GraphFolder, feeds: CalibrationFeeds, folder: Path, progress: ProgressCallback
) -> None:
    """Write a histogram of every layer's input, for `read_activations`.

    Args:
        fp32: the FP32 graphs.
        feeds: calls of them.
        folder: gets NAME.npz for each graph.
        progress: counts calls, in parts of a graph.

    Raises:
        BackendError: ONNX Runtime is missing or cannot run a graph.
    """
    for number, name in enumerate(fp32.sha256):
        found = calibrate(
            fp32.file(name), feeds.of(name), progress=part_of(progress, number, len(fp32.sha256))
        )
        write_histograms(folder / f"{name}.npz", found)


def read_activations(folder: Path) -> dict[str, dict[str, Histogram]]:
    """Graph -> layer -> histogram, as `count_activations` wrote them."""
    return {file.stem: read_histograms(file) for file in sorted(folder.glob("*.npz"))}
