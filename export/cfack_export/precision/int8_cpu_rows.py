"""Products in 8 bits, each row of the activation with its own scale.

Shapes: M rows in all, K inner size, N columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from cfack_export.precision.editing import Insertion, array_of, constant
from cfack_export.precision.layers import module_of
from cfack_export.precision.weights import LARGEST_INT8, quantize_columns

_ZERO_POINT = np.array(128, np.uint8)
_LOWEST_GELU = 0.17
"""GELU is never below minus this."""


class TokenRows:
    """Products of a graph in 8 bits; activations that several layers read are quantised once."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._quantized: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}
        self._ones: dict[ir.Value, ir.Value] = {}

    def product(self, node: ir.Node) -> ir.Value:
        """Add what computes a MatMul in 8 bits in front of it; gives its result, still unused."""
        activation, weight = node.inputs
        assert activation is not None
        assert weight is not None
        matrix = array_of(weight)
        add = Insertion(self._model, node, f"{module_of(node)}.int8")
        numbers, scales = self.quantize(add, activation, matrix.shape[0])
        products = self.multiply(add, numbers, str(weight.name), matrix, self._model.graph.inputs[0])
        return add.op("Mul", products, scales)

    def multiply(
        self, add: Insertion, rows: ir.Value, name: str, matrix: NDArray[Any], after: ir.Value
    ) -> ir.Value:
        """Multiply uint8 (..., K) with a float matrix (K, N) in 8 bits.

        ONNX Runtime makes one kernel of product, cast and scale, but only if the scale is itself a product of
        the activation's, found at run time, and the weight's. Here the activation's is one, and the rows are
        scaled by whoever called.

        Args:
            add: where to.
            rows: whole numbers around 128.
            name: of the matrix.
            matrix: the weights.
            after: the product is not computed before this value is there. By its own choice ONNX Runtime
                would compute all products that it can at once, and keep them in memory.

        Returns:
            float32 (..., N), to be multiplied with the scales of the rows.
        """
        values, columns = quantize_columns(matrix)
        products = add.op(
            "MatMulInteger",
            rows,
            constant(self._model, f"{name}.int8", values),
            self.zero_point,
        )
        scales = add.op("Mul", self._unit(after), constant(self._model, f"{name}.scale", columns))
        return add.op("Mul", add.op("Cast", products, to=ir.DataType.FLOAT), scales)

    def quantize(self, add: Insertion, activation: ir.Value, width: int) -> tuple[ir.Value, ir.Value]:
        """Quantise (..., K) with a scale for each row: numbers uint8 (..., K) around 128, scales (..., 1)."""
        if activation not in self._quantized:
            scales = self.scales(add, activation, np.array([-1], np.int64))
            numbers = self.numbers_of_rows(add, activation, width, scales, self.zero_point)
            self._quantized[activation] = numbers, scales
        return self._quantized[activation]

    @property
    def zero_point(self) -> ir.Value:
        """Of all numbers around 128."""
        return constant(self._model, "int8/zero_point", _ZERO_POINT)

    def numbers_of_rows(
        self, add: Insertion, activation: ir.Value, width: int, scales: ir.Value, zero: ir.Value
    ) -> ir.Value:
        """Quantise (..., K) with scales (..., 1) and one zero point, of whose type the numbers are."""
        numbers = self.numbers(add, self._matrix(add, activation, width), scales, zero)
        return add.op("Reshape", numbers, add.op("Shape", activation))

    def values_of_rows(self, add: Insertion, products: ir.Value, width: int, scales: ir.Value) -> ir.Value:
        """Multiply whole numbers int32 (..., K) with scales (..., 1): float32.

        In one pass, where a cast and a product are two, and out of reach of ONNX Runtime's joined kernel: it
        takes a product of two scales for its own and reads the first row's scale for all rows.
        """
        matrix = self._matrix(add, products, width)
        values = add.op("DequantizeLinear", matrix, self._flat(add, scales), axis=0)
        return add.op("Reshape", values, add.op("Shape", products))

    def scales(self, add: Insertion, activation: ir.Value, axes: NDArray[np.int64]) -> ir.Value:
        """Find the scale of all that lies along some axes, which stay with size 1."""
        const, over = self._model, constant(self._model, f"int8/axes_{len(axes)}", axes)
        step = np.array(1 / LARGEST_INT8, np.float32)
        highest = add.op("ReduceMax", activation, over, keepdims=1)
        bounds = [add.op("Mul", highest, constant(const, "int8/step", step))]
        producer = activation.producer()
        if producer is not None and producer.op_type == "Gelu":
            bounds.append(constant(const, "int8/lowest_gelu", _LOWEST_GELU * step))
        else:  # Two reductions read the rows twice; Abs and one reduction would write them once more.
            lowest = add.op("ReduceMin", activation, over, keepdims=1)
            bounds.append(add.op("Mul", lowest, constant(const, "int8/step_down", -step)))
            # A row of zeros, such as a masked one, must not be divided by zero.
            bounds.append(constant(const, "int8/smallest", np.array(1e-30, np.float32)))
        return add.op("Max", *bounds)

    def numbers(self, add: Insertion, values: ir.Value, scales: ir.Value, zero: ir.Value) -> ir.Value:
        """Quantise (M, ...) with M scales, of any shape."""
        flat = self._flat(add, scales)
        zeros = add.op("Expand", zero, add.op("Shape", flat))
        return add.op("QuantizeLinear", values, flat, zeros, axis=0)

    def _matrix(self, add: Insertion, values: ir.Value, width: int) -> ir.Value:
        """(..., K) as (M, K): only the rows of a matrix can have scales of their own."""
        rows = constant(self._model, f"int8/rows_{width}", np.array([-1, width], np.int64))
        return add.op("Reshape", values, rows)

    def _flat(self, add: Insertion, scales: ir.Value) -> ir.Value:
        """Scales of any shape as (M,)."""
        return add.op("Reshape", scales, constant(self._model, "int8/axes_1", np.array([-1], np.int64)))

    def _unit(self, after: ir.Value) -> ir.Value:
        """(1,): a one that no optimiser can foresee, made of the size of `after`."""
        if after not in self._ones:
            producer = after.producer()
            place = self._model.graph[0] if producer is None else _next(producer)
            add = Insertion(self._model, place, f"{after.name}.int8/one")
            size = add.op("Shape", after, start=0, end=1)
            least = add.op("Min", size, constant(self._model, "int8/one", np.array([1], np.int64)))
            self._ones[after] = add.op("Cast", least, to=ir.DataType.FLOAT)
        return self._ones[after]


def _next(node: ir.Node) -> ir.Node:
    """The node that follows in the graph."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    return graph[graph.index(node) + 1]
