"""8-bit products for ONNX Runtime on a CPU: scales of activations are found at run time, token by token.

ONNX Runtime's own dynamic quantiser has one scale for a whole activation. An image would then be encoded
differently beside other images, a caption differently beside longer ones, and one large value behind the end
of a caption would spoil it. Here each token has its scale, so a row's result does not depend on its batch,
and is more exact.

Activations are unsigned with a zero point of 128, weights signed: the one pairing that AVX512-VNNI and AMX
have instructions for; unsigned weights were as slow as FP32.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from cfack_export.precision.editing import drop_unused_weights, read_graph, replace_output, write_graph
from cfack_export.precision.int8_cpu_attention import quantize_attention
from cfack_export.precision.int8_cpu_pixels import fold_normalization
from cfack_export.precision.int8_cpu_rows import TokenRows
from cfack_export.precision.int8_cpu_self_attention import fuse_self_attention
from cfack_export.precision.layers import split_layers
from cfack_export.precision.reports import Int8Report


def to_int8_cpu(source: Path, out: Path, graph: str, *, exclude: Collection[str] = ()) -> Int8Report:
    """Write a graph whose products with weight matrices run in 8 bits, for ONNX Runtime on a CPU.

    Needs no calibration: the scale of each token is found when it is seen. Inputs and outputs stay float32.
    Products with images, which the re-ranker for one text has in place of keys and values, are in 8 bits too.

    Args:
        source: the FP32 graph.
        out: the file to write.
        graph: its name, for the report.
        exclude: layers to leave in FP32, as `quantizable_layers` names them.

    Raises:
        BundleError: the source cannot be read.
    """
    model = read_graph(source)
    fold_normalization(model)
    chosen, skipped = split_layers(model, exclude)
    names = tuple(node.name or "" for node in chosen)
    rows = TokenRows(model)
    for node in chosen:
        replace_output(node, rows.product(node))
    names += quantize_attention(model, rows, exclude)
    fuse_self_attention(model)
    drop_unused_weights(model)
    write_graph(model, out)
    return Int8Report(graph, "dynamic", names, tuple(skipped))
