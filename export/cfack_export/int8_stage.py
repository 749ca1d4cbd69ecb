"""The two ways to 8 bits: static for TensorRT, and with scales found at run time for CPUs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from cfack_export.graph_folder import GraphFolder
from cfack_export.parity.limits import INT8, INT8_CPU
from cfack_export.precision.histograms import Histogram
from cfack_export.precision.int8 import to_int8
from cfack_export.precision.int8_cpu import to_int8_cpu
from cfack_export.precision.reports import Int8Report
from cfack_export.quantize import Quantizer
from cfack_runtime.backends.int8_products import require_exact_products


def int8_cpu_quantizer(fp32: GraphFolder) -> Quantizer:
    """Products in 8 bits with a scale for each token, on top of the FP32 graphs.

    Raises:
        BackendError: this processor cannot measure them.
    """
    require_exact_products()

    def convert(source: Path, out: Path, graph: str, exclude: Collection[str]) -> Int8Report:
        return to_int8_cpu(source, out, graph, exclude=exclude)

    return Quantizer(INT8_CPU, fp32, convert)


def int8_quantizer(
    half: GraphFolder, activations: Mapping[str, Mapping[str, Histogram]], method: str, calls: int
) -> Quantizer:
    """Products in 8 bits with measured scales, on top of the FP16 graphs.

    Args:
        half: the FP16 graphs.
        activations: graph -> layer -> histogram.
        method: how a histogram gives a scale.
        calls: samples behind the histograms, for the report.
    """

    def convert(source: Path, out: Path, graph: str, exclude: Collection[str]) -> Int8Report:
        found = activations[graph]
        return to_int8(source, out, graph, found, method=method, exclude=exclude, calls=calls)

    return Quantizer(INT8, half, convert)
