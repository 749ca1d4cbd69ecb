"""8-bit products for ONNX Runtime on a CPU: scales of activations are found at run time, token by token.

ONNX Runtime's own dynamic quantiser has one scale for a whole activation. An image would then be encoded
differently beside other images, a caption differently beside longer ones, and one large value behind the end
of a caption would spoil it. Here each token has its scale, so a row's result does not depend on its batch. It
costs a fifth of the gain and is more exact.

Activations are unsigned with a zero point of 128, weights signed: the one pairing that AVX512-VNNI and AMX
have instructions for; unsigned weights were as slow as FP32.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx_ir as ir

from cfack_export.precision.editing import (
    Insertion,
    array_of,
    constant,
    drop_unused_weights,
    read_graph,
    replace_output,
    write_graph,
)
from cfack_export.precision.layers import module_of, split_layers
from cfack_export.precision.reports import Int8Report
from cfack_export.precision.weights import LARGEST_INT8, quantize_columns

_ZERO_POINT = 128


def to_int8_cpu(source: Path, out: Path, graph: str, *, exclude: Collection[str] = ()) -> Int8Report:
    """Write a graph whose products with weight matrices run in 8 bits, for ONNX Runtime on a CPU.

    Needs no calibration: the scale of each token is found when it is seen. Inputs and outputs stay float32.

    Args:
        source: the FP32 graph.
        out: the file to write.
        graph: its name, for the report.
        exclude: layers to leave in FP32, as `quantizable_layers` names them.

    Raises:
        BundleError: the source cannot be read.
    """
    model = read_graph(source)
    chosen, skipped = split_layers(model, exclude)
    names = tuple(node.name or "" for node in chosen)
    rows = TokenRows(model)
    for node in chosen:
        replace_output(node, rows.product(node))
    drop_unused_weights(model)
    write_graph(model, out)
    return Int8Report(graph, "dynamic", names, tuple(skipped))


class TokenRows:
    """Products of a graph in 8 bits; activations that several layers read are quantised once."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._quantized: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}

    def product(self, node: ir.Node) -> ir.Value:
        """Add what computes a MatMul in 8 bits in front of it; gives its result, still unused."""
        activation, weight = node.inputs
        assert activation is not None
        assert weight is not None
        width = array_of(weight).shape[0]
        add = Insertion(self._model, node, f"{module_of(node)}.int8")
        if activation not in self._quantized:
            self._quantized[activation] = self._rows(add, activation, width)
        rows, scales = self._quantized[activation]  # uint8 (M, K), float32 (M, 1)
        values, columns = quantize_columns(array_of(weight))
        products = add.op(
            "MatMulInteger",
            rows,
            constant(self._model, f"{weight.name}.int8", values),
            constant(self._model, "int8/zero_point", np.array(_ZERO_POINT, np.uint8)),
        )
        scaled = add.op("Mul", add.op("Cast", products, to=ir.DataType.FLOAT), scales)
        scaled = add.op("Mul", scaled, constant(self._model, f"{weight.name}.scale", columns))
        outer = constant(self._model, f"int8/width_{len(columns)}", np.array([len(columns)], np.int64))
        shape = add.op("Concat", add.op("Shape", activation, start=0, end=-1), outer, axis=0)
        return add.op("Reshape", scaled, shape)

    def _rows(self, add: Insertion, activation: ir.Value, width: int) -> tuple[ir.Value, ir.Value]:
        """Quantise (..., K) as (M, K) rows; their scales are (M, 1)."""
        const = self._model
        last = constant(const, "int8/last_axis", np.array([-1], np.int64))
        rows = add.op("Reshape", activation, constant(const, f"int8/rows_{width}", np.array([-1, width])))
        # Two reductions read the rows twice; Abs and one reduction would write them once more.
        highest = add.op("ReduceMax", rows, last, keepdims=1)
        lowest = add.op("Neg", add.op("ReduceMin", rows, last, keepdims=1))
        step = constant(const, "int8/step", np.array(1 / LARGEST_INT8, np.float32))
        scales = add.op("Mul", add.op("Max", highest, lowest), step)
        # A row of zeros, such as a masked one, must not be divided by zero.
        scales = add.op("Max", scales, constant(const, "int8/smallest", np.array(1e-30, np.float32)))
        flat = add.op("Reshape", scales, last)  # (M,)
        zero = constant(const, "int8/zero_point", np.array(_ZERO_POINT, np.uint8))
        zeros = add.op("Expand", zero, add.op("Shape", flat))
        return add.op("QuantizeLinear", rows, flat, zeros, axis=0), scales
