"""Which nodes of a graph compute in FP16.

The rule: FP16 is what MatMul and Conv compute, and whatever takes their results or a table of weights.
LayerNormalization, Softmax, the reductions and the projections of one token (Gemm) compute in FP32. Any other
node that is fed with FP32 only stays there: pixels until the first convolution, masks, the L2 normalisation,
and the matching head.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from cfack_export.precision.editing import array_of
from cfack_export.precision.reports import KeptNode

LARGEST_FP16 = 65504.0
HEADROOM = 4.0
"""A tensor stays in FP32 if samples bring it within this factor of the largest FP16 number: other images and
captions reach further than the samples, and eight times the usual rounding is not lost by one exponent."""

LARGEST_WEIGHT_ERROR = 2e-3
"""Relative error of a weight tensor in FP16, in its norm: rounding alone gives at most 5e-4; more means that
most of it lies where FP16 runs out of small numbers."""

_FP32_OPS = frozenset({"LayerNormalization", "Softmax", "ReduceMean", "ReduceL2", "ReduceSum", "Gemm"})
_FP16_OPS = frozenset({"MatMul", "Conv"})
_FLOAT = ir.DataType.FLOAT


def plan_fp16(model: ir.Model, largest: Mapping[str, float]) -> tuple[set[ir.Node], tuple[KeptNode, ...]]:
    """Decide which nodes compute in FP16.

    Args:
        model: the FP32 graph, with the types of its values.
        largest: the largest absolute value of each tensor on samples; see `ranges.largest_values`.

    Returns:
        The nodes in FP16, and those that would be but for a range.
    """
    half: set[ir.Node] = set()
    kept: list[KeptNode] = []
    for node in model.graph:
        if not _wants_half(node, half):
            continue
        fault = _fault(node, largest)
        if fault is None:
            half.add(node)
        else:
            kept.append(fault)
    return half, tuple(kept)


def _wants_half(node: ir.Node, half: set[ir.Node]) -> bool:
    floats = [value for value in node.inputs if value is not None and value.dtype == _FLOAT]
    if not floats or node.op_type in _FP32_OPS:
        return False
    if node.op_type in _FP16_OPS or all(value.is_initializer() for value in floats):
        return True
    return any(value.is_graph_input() or value.producer() in half for value in floats)


def _fault(node: ir.Node, largest: Mapping[str, float]) -> KeptNode | None:
    """Say what of a node FP16 could not hold."""
    name = node.name or node.op_type
    for role, values in (("input", node.inputs), ("output", node.outputs)):
        for value in values:
            if value is None or value.dtype != _FLOAT:
                continue
            if value.is_initializer():
                fault = _weight_fault(value)
                if fault is not None:
                    return KeptNode(name, *fault)
                continue
            reached = largest.get(value.name or "", 0.0)
            if not reached * HEADROOM < LARGEST_FP16:  # written so that NaN is a fault
                reason = f"{role} {value.name} reaches {reached:.4g}, FP16 ends at {LARGEST_FP16:.0f}"
                return KeptNode(name, reason, reached)
    return None


def _weight_fault(value: ir.Value) -> tuple[str, float] | None:
    weight = array_of(value)
    reached = float(np.abs(weight).max(initial=0.0))
    if not reached * HEADROOM < LARGEST_FP16:
        return f"weight {value.name} reaches {reached:.4g}, FP16 ends at {LARGEST_FP16:.0f}", reached
    norm = float(np.linalg.norm(weight))
    error = float(np.linalg.norm(weight - weight.astype(np.float16).astype(np.float32)))
    if norm > 0 and error > LARGEST_WEIGHT_ERROR * norm:
        return f"weight {value.name} is too small for FP16 (largest {reached:.3g})", reached
    return None
