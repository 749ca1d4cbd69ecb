"""FP16 arithmetic on a CPU that has none.

ONNX Runtime's CPU kernels take FP16 graphs apart: they compute in FP32 between two casts and drop every pair
of casts that only rounded, so an overflow that a GPU would show does not happen. Here the same graph is
written in FP32 with a rounding to FP16, as a pair of casts that no optimiser may drop, behind every node that
computes in FP16. Products are still summed in FP32, as tensor cores do.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from cfack_export.precision.editing import array_of, read_graph, write_graph

_FLOAT, _HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16


def emulate_fp16(source: Path, out: Path) -> int:
    """Write a graph that gives on a CPU what an FP16 graph gives where FP16 is computed.

    Names, shapes and types of inputs and outputs stay as they are, float16 tokens included. Slower than the
    FP16 graph and not for serving; for a gate that must see rounding and overflow.

    Args:
        source: an FP16 graph, of `to_fp16` or of `to_int8` on top of it.
        out: the file to write.

    Returns:
        How many tensors are rounded; 0 for a graph without FP16.

    Raises:
        BundleError: the source cannot be read.
    """
    model = read_graph(source)
    graph = model.graph
    for value in list(graph.initializers.values()):
        if value.dtype == _HALF:
            value.const_value = ir.tensor(array_of(value).astype(np.float32), name=value.name)
            value.type = ir.TensorType(_FLOAT)
    _unpack_inputs(graph)
    rounded = 0
    for node in list(graph):
        for value in node.outputs:
            if value.dtype == _HALF and not value.is_graph_input():
                rounded += _round(graph, node, value)
    write_graph(model, out)
    return rounded


def _unpack_inputs(graph: ir.Graph) -> None:
    first = next(iter(graph))
    for value in graph.inputs:
        if value.dtype == _HALF:
            uses = list(value.uses())
            unpacked = _cast(value, _FLOAT, f"{value.name}/unpacked")
            graph.insert_before(first, unpacked)
            for use in uses:
                use.node.replace_input_with(use.idx, unpacked.outputs[0])


def _round(graph: ir.Graph, node: ir.Node, value: ir.Value) -> int:
    """Compute a value in FP32 and round it to FP16; its readers get it in FP32."""
    readers = list(value.uses())
    half, added = value, []
    if node.op_type != "Cast":
        value.type = ir.TensorType(_FLOAT)
        rounding = _cast(value, _HALF, f"{value.name}/rounded")
        added.append(rounding)
        half = rounding.outputs[0]
        if value.is_graph_output():
            half.name, value.name = value.name, f"{value.name}/exact"
            graph.outputs[list(graph.outputs).index(value)] = half
    elif node.inputs[0] is not None and node.inputs[0].dtype != _FLOAT:
        node.attributes["to"] = ir.AttrInt64("to", _FLOAT)  # a mask: whole numbers, 0 and 1
        value.type = ir.TensorType(_FLOAT)
        return 0
    unpacked = _cast(half, _FLOAT, f"{value.name}/unpacked")
    graph.insert_after(node, [*added, unpacked])
    for use in readers:
        use.node.replace_input_with(use.idx, unpacked.outputs[0])
    return 1


def _cast(value: ir.Value, wanted: ir.DataType, name: str) -> ir.Node:
    node = ir.node("Cast", [value], attributes={"to": wanted}, name=name)
    result = node.outputs[0]
    result.name, result.type, result.shape = name, ir.TensorType(wanted), value.shape
    return node
