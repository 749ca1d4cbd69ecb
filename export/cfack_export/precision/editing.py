"""Reading, editing and writing ONNX files: what every precision needs."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from cfack_runtime.errors import BundleError

_LARGE = 64 << 20
"""Bytes. Graphs hang together in cycles: before one of that size is read, the last one must be gone."""


def read_graph(path: Path) -> ir.Model:
    """Load an ONNX file.

    Raises:
        BundleError: there is none, or it cannot be read.
    """
    if path.is_file() and path.stat().st_size > _LARGE:
        gc.collect()
    try:
        return ir.load(path)
    except Exception as error:  # protobuf's errors share no base class that it publishes
        raise BundleError(f"{path}: cannot be read as an ONNX file: {error}; export again") from error


def write_graph(model: ir.Model, path: Path) -> None:
    """Check a graph by ONNX's rules and write it; the same graph gives the same bytes.

    Raises:
        BundleError: the graph breaks a rule, which is a fault of this package.
    """
    proto = ir.to_proto(model)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BundleError(f"{path.stem}: the converted graph breaks ONNX's rules: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def array_of(value: ir.Value) -> NDArray[Any]:
    """Give the content of an initializer."""
    assert value.const_value is not None
    return value.const_value.numpy()


class Insertion:
    """New nodes in front of an existing one, named after it.

    Args:
        model: to be edited.
        before: the node in front of which they go.
        module: leads the names of the nodes.
    """

    def __init__(self, model: ir.Model, before: ir.Node, module: str) -> None:
        self._graph = model.graph
        self._before = before
        self._module = module
        self._counts: dict[str, int] = {}

    def op(self, op_type: str, *inputs: ir.Value, name: str = "", **attributes: Any) -> ir.Value:
        """Add a node of one output; the output is called as the node."""
        name = name or self._name(op_type)
        node = ir.node(op_type, list(inputs), attributes=attributes, name=name)
        node.outputs[0].name = name
        self._graph.insert_before(self._before, node)
        return node.outputs[0]

    def _name(self, op_type: str) -> str:
        self._counts[op_type] = number = self._counts.get(op_type, 0) + 1
        return f"{self._module}/{op_type}" + (f"_{number}" if number > 1 else "")


def constant(model: ir.Model, name: str, array: NDArray[Any]) -> ir.Value:
    """Give the initializer of that name, made of `array` if there is none."""
    initializers = model.graph.initializers
    if name not in initializers:
        tensor = ir.tensor(np.ascontiguousarray(array) if array.ndim else array, name=name)
        initializers[name] = ir.Value(
            name=name, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape)
        )
    return initializers[name]


def replace_output(node: ir.Node, value: ir.Value) -> None:
    """Let `value` take the place of a node's only output, in the graph's outputs too, and remove the node."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    old = node.outputs[0]
    value.type, value.shape = old.type, old.shape
    ir.convenience.replace_all_uses_with(old, value, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def drop_unused_weights(model: ir.Model) -> None:
    """Remove initializers that no node reads."""
    for name, value in list(model.graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del model.graph.initializers[name]
