"""Query, key and value out of one product: separate products whose results need not be cut apart.

The vision encoder computes all three by one matrix and then cuts the result; for 8 bits the activation is
quantised once anyway, and three narrower products take as long as the wide one.

Shapes: B images, S tokens, C their width, P parts, H heads of width d.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from cfack_export.precision.editing import Insertion, array_of, constant
from cfack_export.precision.layers import module_of

_PARTS_FIRST = (2, 0, 3, 1, 4)


def separate_products(model: ir.Model, nodes: list[ir.Node]) -> list[ir.Node]:
    """Replace each product that is cut into parts by one product for each part, in place.

    Args:
        model: the FP32 graph.
        nodes: products with weights.

    Returns:
        All products there are now in the place of `nodes`.
    """
    products = [part for node in nodes for part in (_separate(model, node) or [node])]
    RemoveUnusedNodesPass()(model)
    return products


def _separate(model: ir.Model, node: ir.Node) -> list[ir.Node] | None:
    """Products of one part each; None: the result is not cut up in the way that is known."""
    add = _reader(node, "Add")
    reshape = _reader(add, "Reshape")
    order = _reader(reshape, "Transpose")
    if add is None or reshape is None or order is None:
        return None
    bias, shape = add.inputs[1], reshape.inputs[1]
    assert bias is not None
    assert shape is not None
    if not bias.is_initializer() or tuple(order.attributes["perm"].as_ints()) != _PARTS_FIRST:
        return None
    cuts = {use.node: _reader(use.node, "Squeeze") for use in order.outputs[0].uses()}
    weight = node.inputs[1]
    assert weight is not None
    parts, heads, width = array_of(shape)[2:].tolist()
    weights = np.split(array_of(weight), parts, axis=1)
    biases = np.split(array_of(bias), parts)
    products: list[ir.Node] = []
    for cut, squeeze in cuts.items():
        start = cut.inputs[1]
        if cut.op_type != "Slice" or squeeze is None or start is None:
            return None
        number = int(array_of(start)[0])
        product, result = _part(model, node, number, weights[number], biases[number], (heads, width))
        products.append(product)
        result.type, result.shape = squeeze.outputs[0].type, squeeze.outputs[0].shape
        ir.convenience.replace_all_uses_with(squeeze.outputs[0], result)
    return products


def _part(
    model: ir.Model, node: ir.Node, number: int, weight: np.ndarray, bias: np.ndarray, heads: tuple[int, int]
) -> tuple[ir.Node, ir.Value]:
    """One product, and what it gives: (B, H, S, d)."""
    module = f"{module_of(node)}.part{number}"
    add = Insertion(model, node, module)
    activation = node.inputs[0]
    assert activation is not None
    product = add.op("MatMul", activation, constant(model, f"{module}.weight", weight))
    producer = product.producer()
    assert producer is not None
    hidden = add.op("Add", product, constant(model, f"{module}.bias", bias))
    shape = constant(model, f"int8/heads_{heads[0]}", np.array([0, 0, *heads], np.int64))
    return producer, add.op("Transpose", add.op("Reshape", hidden, shape), perm=[0, 2, 1, 3])


def _reader(node: ir.Node | None, op_type: str) -> ir.Node | None:
    """The only node that reads a node's output, if it is of that type."""
    uses = () if node is None else node.outputs[0].uses()
    if len(uses) != 1:
        return None
    (use,) = uses
    return use.node if use.node.op_type == op_type else None
