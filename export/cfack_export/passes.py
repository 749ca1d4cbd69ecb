"""Edits on an exported graph, between PyTorch's exporter and the file; each works in place."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import DeduplicateHashedInitializersPass
from onnxscript.optimizer import optimize_ir

_POSITION_BIAS = "relative_position_bias_table"
_SCOPES = "pkg.torch.onnx.name_scopes"
_WRAPPER = "model."
_WEIGHT_FORMS = {"Transpose": "transposed", "Reshape": "heads"}


def name_weights(model: ir.Model) -> None:
    """Give weights the names that they have in a checkpoint; a transposed or reshaped one says so.

    Exported linear layers read `Transpose(weight)`, which `simplify` folds into a weight of its own; the
    re-ranker's rewrites also read a weight head by head.
    """
    for value in list(model.graph.initializers.values()):
        if value.name and value.name.startswith(_WRAPPER):
            value.name = value.name.removeprefix(_WRAPPER)
    weights = {value for value in model.graph.initializers.values() if str(value.name).endswith("weight")}
    for node in model.graph:
        source = node.inputs[0] if node.inputs else None
        if node.op_type in _WEIGHT_FORMS and source in weights:
            node.outputs[0].name = f"{source.name}.{_WEIGHT_FORMS[node.op_type]}"
            weights.add(node.outputs[0])


def simplify(model: ir.Model) -> None:
    """Fold what is constant and share what is equal, but keep the position biases gathered from their tables.

    Unfolded, 2212 rows a layer stand for 577 x 577 biases a head: 192 MB less at base size. Their index is
    the same in every layer and stays in the file once.
    """
    DeduplicateHashedInitializersPass()(model)
    optimize_ir(model, should_fold=_should_fold)


def _should_fold(node: ir.Node) -> bool | None:
    reads_table = any(value is not None and _POSITION_BIAS in (value.name or "") for value in node.inputs)
    return False if reads_table else None  # None: onnxscript's own rules, which spare what is large


def name_nodes(model: ir.Model) -> None:
    """Name each node after the module that made it, so that a report can say which layer it means."""
    seen: Counter[str] = Counter()
    for node in model.graph:
        scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "['']"))
        modules = [scope for scope in scopes[:-1] if scope.startswith(_WRAPPER)]
        name = f"{modules[-1].removeprefix(_WRAPPER)}/{node.op_type}" if modules else node.op_type
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"


def broadcast_batches(model: ir.Model) -> None:
    """Let an input of batch 1 meet inputs of any batch.

    The exporter saw one batch; here each input whose first axis has another name than those of the others
    is expanded to their batch, in front of everything else. Batches that differ with neither being 1 fail
    in the Expand node.

    Expects input shapes as the contract names them, for example `text_batch` and `image_batch`.
    """
    inputs = list(model.graph.inputs)
    axes = [_first_axis(value) for value in inputs]
    if len(set(axes)) == 1 or any(isinstance(axis, int) for axis in axes):
        return  # where a batch is fixed, the graph itself serves the others with it
    added: list[ir.Node] = []
    replaced: list[tuple[ir.Value, ir.Value]] = []
    for value, axis in zip(inputs, axes, strict=True):
        other = next(candidate for candidate, name in zip(inputs, axes, strict=True) if name != axis)
        nodes = _expand_to(value, other)
        added += nodes
        replaced.append((value, nodes[-1].outputs[0]))
    readers = {value: [use for use in value.uses() if use.node not in added] for value in inputs}
    for value, expanded in replaced:
        for node, index in readers[value]:
            node.replace_input_with(index, expanded)
    first = next(iter(model.graph))
    model.graph.insert_before(first, added)


def _first_axis(value: ir.Value) -> str | int:
    assert value.shape is not None
    axis = value.shape[0]
    return axis if isinstance(axis, int) else str(axis)


def _expand_to(value: ir.Value, other: ir.Value) -> Sequence[ir.Node]:
    """Nodes that repeat `value` along its first axis to the first axis of `other`."""
    assert value.shape is not None
    name = f"{value.name}_broadcast"
    batch = ir.node("Shape", [other], attributes={"start": 0, "end": 1}, name=f"{name}/Shape")
    ones = np.ones(len(value.shape) - 1, dtype=np.int64)
    constant = ir.node("Constant", [], attributes={"value": ir.tensor(ones)}, name=f"{name}/Constant")
    shape = ir.node(
        "Concat", [batch.outputs[0], constant.outputs[0]], attributes={"axis": 0}, name=f"{name}/Concat"
    )
    expand = ir.node("Expand", [value, shape.outputs[0]], name=f"{name}/Expand")
    expand.outputs[0].name = name
    expand.outputs[0].type = value.type
    expand.outputs[0].shape = ir.Shape(["batch", *value.shape[1:]])
    return batch, constant, shape, expand


def strip_origin(model: ir.Model) -> None:
    """Remove what says where the graph was made: stack traces with file paths, signatures, doc strings."""
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.doc_string = model.graph.doc_string = None
    values = [*model.graph.inputs, *model.graph.initializers.values()]
    for node in model.graph:
        node.metadata_props.clear()
        node.doc_string = None
        values += node.outputs
    for value in values:
        value.metadata_props.clear()
        value.doc_string = None
        if value.const_value is not None:
            value.const_value.doc_string = None
