"""Scaling and normalisation of pixels, done to weights once and not to every image."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from cfack_export.precision.editing import array_of, constant


def fold_normalization(model: ir.Model) -> None:
    """Let a convolution without padding take pixels as they are; exact up to rounding. Works in place.

    It sees ((x / a) - m) / s, a one number, m and s of each channel, transposed to channels first.
    """
    for node in model.graph:
        transpose = _only(node.inputs[0], "Transpose") if node.op_type == "Conv" else None
        spread = _only(transpose.inputs[0], "Div") if transpose is not None else None
        shift = _only(spread.inputs[0], "Sub") if spread is not None else None
        scale = _only(shift.inputs[0], "Div") if shift is not None else None
        if transpose is None or spread is None or shift is None or scale is None:
            continue
        if any(node.attributes["pads"].as_ints()):
            continue
        values = [_array(part, 1) for part in (scale, shift, spread)]
        kernel, bias = _array(node, 1), _array(node, 2)
        factor, mean, deviation = values
        shares = kernel / deviation[:, None, None]
        node.replace_input_with(1, constant(model, "normalized.weight", (shares / factor).astype(np.float32)))
        offset = bias - (shares * mean[:, None, None]).sum(axis=(1, 2, 3))
        node.replace_input_with(2, constant(model, "normalized.bias", offset.astype(np.float32)))
        transpose.replace_input_with(0, scale.inputs[0])


def _array(node: ir.Node, index: int) -> NDArray[np.float64]:
    value = node.inputs[index]
    assert value is not None
    return array_of(value).astype(np.float64)


def _only(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """The node of that type that makes a value which one other node reads, and nobody else."""
    if value is None or len(value.uses()) != 1 or value.is_graph_output():
        return None
    node = value.producer()
    return node if node is not None and node.op_type == op_type else None
