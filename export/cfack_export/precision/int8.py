"""8-bit products for TensorRT: static, symmetric, as QuantizeLinear and DequantizeLinear.

Weights have a scale for each output channel, activations one for the tensor, measured on real samples. Biases
stay float: TensorRT refuses an int32 bias. What is no product keeps the type of the graph, FP32 or FP16.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from cfack_export.precision.editing import (
    Insertion,
    array_of,
    constant,
    drop_unused_weights,
    read_graph,
    write_graph,
)
from cfack_export.precision.histograms import METHODS, Histogram, threshold
from cfack_export.precision.layers import module_of, split_layers
from cfack_export.precision.reports import Int8Report
from cfack_export.precision.weights import LARGEST_INT8, quantize_columns
from cfack_export.scratch import scratch_folder
from cfack_runtime.backends import Feed, open_backend
from cfack_runtime.errors import UsageError
from cfack_runtime.progress import ProgressCallback, no_progress


def calibrate(
    source: Path, feeds: Sequence[Feed], *, progress: ProgressCallback = no_progress
) -> dict[str, Histogram]:
    """Count the inputs of every layer that can be quantised. One call at a time is in memory.

    Args:
        source: the FP32 graph.
        feeds: real calls.
        progress: told the calls done and in all.

    Returns:
        Layer name -> histogram of the activation that it reads.

    Raises:
        BundleError: the source cannot be read.
        BackendError: ONNX Runtime is not here or cannot run it.
    """
    model = read_graph(source)
    chosen = split_layers(model, ())[0]
    values = {node.inputs[0].name or "": node.inputs[0] for node in chosen if node.inputs[0] is not None}
    inputs = {node.name or "": node.inputs[0].name or "" for node in chosen if node.inputs[0] is not None}
    histograms = {name: Histogram() for name in values}
    present = {value.name for value in (*model.graph.inputs, *model.graph.outputs)}
    model.graph.outputs.extend(value for name, value in values.items() if name not in present)
    with scratch_folder(
        source.parent, ".calibrate-", "copy the graphs to where files can be written"
    ) as scratch:
        path = scratch / source.name
        write_graph(model, path)
        del model, chosen, values  # as large as what is going to run
        backend = open_backend(path)
        try:
            for done, feed in enumerate(feeds, start=1):
                outputs = {**feed, **backend.run(feed)}
                for name, histogram in histograms.items():
                    histogram.add(outputs[name])
                progress(done, len(feeds))
        finally:
            backend.close()
    return {layer: histograms[name] for layer, name in inputs.items()}


def to_int8(
    source: Path,
    out: Path,
    graph: str,
    histograms: Mapping[str, Histogram],
    *,
    method: str = "entropy",
    exclude: Collection[str] = (),
    calls: int = 0,
) -> Int8Report:
    """Write a graph whose products with weight matrices are quantised statically.

    Args:
        source: the FP32 graph, or the FP16 one for what is not quantised to be in FP16.
        out: the file to write.
        graph: its name, for the report.
        histograms: of `calibrate` on the FP32 graph; one that saw nothing leaves its layer as it is.
        method: "entropy" or "minmax".
        exclude: layers to leave as they are.
        calls: how many calls the histograms saw, for the report.

    Raises:
        UsageError: no such method, or a layer has no histogram.
        BundleError: the source cannot be read.
    """
    if method not in METHODS:
        raise UsageError(f"calibration method {method!r}, expected {' or '.join(METHODS)}")
    model = read_graph(source)
    chosen, skipped = split_layers(model, exclude)
    names = tuple(node.name or "" for node in chosen)
    if missing := [name for name in names if name not in histograms]:
        raise UsageError(f"{graph}: {missing[0]} was not calibrated; calibrate the FP32 graph of this one")
    shared: dict[ir.Value, ir.Value] = {}
    for node in chosen:
        _quantize(model, node, threshold(histograms[node.name or ""], method), shared)
    drop_unused_weights(model)
    write_graph(model, out)
    return Int8Report(graph, method, names, tuple(skipped), calls)


def _quantize(model: ir.Model, node: ir.Node, limit: float, shared: dict[ir.Value, ir.Value]) -> None:
    """Put Q/DQ in front of both inputs of a MatMul."""
    activation, weight = node.inputs
    assert activation is not None
    assert weight is not None
    assert weight.dtype is not None
    real = weight.dtype.numpy().type
    add = Insertion(model, node, f"{module_of(node)}.int8")
    zero = constant(model, "int8/zero_point", np.array(0, np.int8))
    if activation not in shared:
        smallest = np.finfo(real).smallest_subnormal
        step = np.maximum(np.array(limit / LARGEST_INT8 if limit else 1, real), smallest)
        scale = constant(model, f"{activation.name}.scale", np.array(step, real))
        quantized = add.op("QuantizeLinear", activation, scale, zero)
        shared[activation] = add.op("DequantizeLinear", quantized, scale, zero)
        shared[activation].type, shared[activation].shape = activation.type, activation.shape
    values, scales = quantize_columns(array_of(weight), real)
    matrix = add.op(
        "DequantizeLinear",
        constant(model, f"{weight.name}.int8", values),
        constant(model, f"{weight.name}.scale", scales),
        constant(model, f"int8/zero_points_{len(scales)}", np.zeros(len(scales), np.int8)),
        axis=1,
    )
    matrix.type, matrix.shape = weight.type, weight.shape
    node.replace_input_with(0, shared[activation])
    node.replace_input_with(1, matrix)
