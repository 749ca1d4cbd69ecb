"""Graphs in FP16, typed in the file: the precision of an engine is that of its graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from cfack_export.precision.editing import array_of, constant, drop_unused_weights, read_graph, write_graph
from cfack_export.precision.fp16_plan import LARGEST_FP16, plan_fp16
from cfack_export.precision.ranges import largest_values
from cfack_export.precision.reports import Fp16Report
from cfack_runtime.backends import Feed
from cfack_runtime.errors import ParityError
from cfack_runtime.progress import ProgressCallback, no_progress

_TOKENS = frozenset({"text_tokens", "image_tokens"})
_FLOAT, _HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16


def to_fp16(
    source: Path,
    out: Path,
    graph: str,
    feeds: Sequence[Feed],
    *,
    progress: ProgressCallback = no_progress,
) -> Fp16Report:
    """Write a graph in FP16; what must be in FP32 is, by casts in the file.

    Text and image tokens are float16 in and out; embeddings and match logits stay float32. `fp16_plan` says
    which nodes compute in FP16.

    Args:
        source: the FP32 graph.
        out: the file to write.
        graph: its name, for the report and messages.
        feeds: real calls of the FP32 graph, whose ranges decide what FP16 can hold.
        progress: told the calls done and in all.

    Raises:
        ParityError: tokens, which galleries hold in float16, are too large for it or not a number.
        BundleError: the source cannot be read.
        BackendError: ONNX Runtime is not here or cannot run it.
    """
    largest = largest_values(source, feeds, progress=progress)
    for name in sorted(_TOKENS & largest.keys()):
        if not largest[name] < LARGEST_FP16:
            raise ParityError(
                f"{graph}: {name} reach {largest[name]:.4g} on calibration samples; float16, in which "
                f"galleries hold them, ends at {LARGEST_FP16:.0f}. This model cannot be served in fp16"
            )
    model = read_graph(source)
    half, kept = plan_fp16(model, largest)
    nodes = {node.name for node in half}
    _Caster(model, half).convert()
    drop_unused_weights(model)
    write_graph(model, out)
    tensors = [
        value.name
        for node in model.graph
        for value in node.outputs
        if node.name in nodes and value.name in largest
    ]
    hottest = max(tensors, key=lambda name: largest[name or ""], default="")
    return Fp16Report(
        graph, len(nodes), kept, largest.get(hottest or "", math.nan), hottest or "", len(feeds)
    )


class _Caster:
    """Gives the chosen nodes FP16 inputs and the others FP32 ones."""

    def __init__(self, model: ir.Model, half: set[ir.Node]) -> None:
        self._model = model
        self._half = half
        self._casts: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def convert(self) -> None:
        graph = self._model.graph
        for tokens in graph.inputs:
            if tokens.name in _TOKENS:
                tokens.type = ir.TensorType(_HALF)
        for node in list(graph):
            wanted = _HALF if node in self._half else _FLOAT
            for index, value in enumerate(node.inputs):
                if value is not None and value.dtype in (_FLOAT, _HALF) and value.dtype != wanted:
                    node.replace_input_with(index, self._as_type(value, wanted, node))
            if node in self._half:
                for result in node.outputs:
                    if result.dtype == _FLOAT:
                        result.type = ir.TensorType(_HALF)
        self._cast_outputs()

    def _as_type(self, value: ir.Value, wanted: ir.DataType, before: ir.Node) -> ir.Value:
        if value.is_initializer():
            assert value.name is not None
            array = array_of(value).astype(np.float16)
            return constant(self._model, f"{value.name}.fp16", array)
        if (value, wanted) not in self._casts:
            node = _cast(value, wanted, f"{value.name}/{_suffix(wanted)}")
            self._model.graph.insert_before(before, node)
            self._casts[value, wanted] = node.outputs[0]
        return self._casts[value, wanted]

    def _cast_outputs(self) -> None:
        """Keep the names and types that the contract gives to outputs."""
        graph = self._model.graph
        for index, value in enumerate(list(graph.outputs)):
            wanted = _HALF if value.name in _TOKENS else _FLOAT
            if value.dtype == wanted:
                continue
            name = value.name or ""
            value.name = f"{name}/{_suffix(value.dtype)}"
            cast = _cast(value, wanted, name)
            cast.name = f"{name}/Cast"
            graph.append(cast)
            graph.outputs[index] = cast.outputs[0]


def _cast(value: ir.Value, wanted: ir.DataType, name: str) -> ir.Node:
    node = ir.node("Cast", [value], attributes={"to": wanted}, name=name)
    result = node.outputs[0]
    result.name, result.type, result.shape = name, ir.TensorType(wanted), value.shape
    return node


def _suffix(dtype: ir.DataType | None) -> str:
    return "fp16" if dtype == _HALF else "fp32"
