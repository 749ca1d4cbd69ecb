"""Which products of a graph can be quantised."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from cfack_export.precision.editing import read_graph
from cfack_runtime.graph_contract import RERANKER, REWRITES

SMALLEST_SIDE = 16
"""Products whose inner or outer size is below this get slower in 8 bits, on a GPU and on a CPU."""


@dataclass(frozen=True)
class SkippedLayer:
    """A product that keeps its precision."""

    name: str
    reason: str


def quantizable_layers(source: Path, *, exclude: Collection[str] = ()) -> tuple[str, ...]:
    """Name the layers of a graph that would be quantised, in the order of the graph.

    A layer is the product of an activation and a weight matrix, named as its node
    (`fusion_encoder.layers.1.cross_attention.key/MatMul`). The re-ranker and its rewrites use the same names
    for the same weights. The products inside attention have no weights; the projections of one token and the
    matching head cost nothing and are the answer: both stay as they are.

    Args:
        source: an ONNX file.
        exclude: names to leave out; those of other graphs are no fault.

    Raises:
        BundleError: the file cannot be read.
    """
    chosen, _ = split_layers(read_graph(source), exclude)
    return tuple(node.name or "" for node in chosen)


def layers_by_graph(files: Mapping[str, Path]) -> dict[str, tuple[str, ...]]:
    """Name the layers of each graph of a precision.

    The re-ranker's forms share weights but not their products, and a product of one may stand for layers that
    only another has: each gets the layers of all.

    Args:
        files: graph -> FP32 file.

    Raises:
        BundleError: a file cannot be read.
    """
    layers = {name: quantizable_layers(file) for name, file in files.items()}
    forms = [name for name in (RERANKER, *REWRITES) if name in layers]
    shared = tuple(dict.fromkeys(layer for name in forms for layer in layers[name]))
    return {**layers, **dict.fromkeys(forms, shared)}


def split_layers(model: ir.Model, exclude: Collection[str]) -> tuple[list[ir.Node], list[SkippedLayer]]:
    """Divide the products with a weight matrix into those to quantise and those to leave."""
    chosen: list[ir.Node] = []
    skipped: list[SkippedLayer] = []
    for node in model.graph:
        shape = _weight_shape(node)
        if shape is None:
            continue
        name = node.name or ""
        if name in exclude:
            skipped.append(SkippedLayer(name, "excluded"))
        elif min(shape) < SMALLEST_SIDE:
            skipped.append(SkippedLayer(name, f"{shape[0]} x {shape[1]} is below {SMALLEST_SIDE}"))
        else:
            chosen.append(node)
    return chosen, skipped


def module_of(node: ir.Node) -> str:
    """The part of a node's name that says the module."""
    return (node.name or "").rpartition("/")[0]


def _weight_shape(node: ir.Node) -> tuple[int, int] | None:
    """(K, N) of a MatMul with a weight matrix."""
    if node.op_type != "MatMul":
        return None
    weight = node.inputs[1]
    if weight is None or not weight.is_initializer() or weight.shape is None or len(weight.shape) != 2:
        return None
    rows, columns = weight.shape.numpy()
    return int(rows), int(columns)
