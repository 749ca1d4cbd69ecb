"""Cross-attention of one text to many images in 8 bits: keys and values of every image after all.

The FP32 graph for one text computes no keys and values, which takes fewer sums. In 8 bits a sum with a weight
is several times cheaper than one without, so here keys and values come back: image tokens are quantised once,
and each layer's keys and values are products of all of them with one matrix.

An image has one scale, not one for each token: so it becomes a factor of the query and of the result, and no
pass over keys, values or scores is needed for it. On the trained small model that changed logits no more than
a scale for each token did. Images still do not depend on their batch.

Tokens come first, images second, so that ONNX Runtime reads keys and values where they lie and copies none.

Shapes: B images, S image tokens of width C', T text tokens, H heads of width d.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from cfack_export.precision.editing import Insertion, array_of, constant
from cfack_export.precision.int8_cpu_rows import TokenRows

_KEY = ".key.weight.heads"


def unfold_attention(model: ir.Model, rows: TokenRows, exclude: Collection[str]) -> tuple[str, ...]:
    """Rewrite every folded cross-attention in place; graphs that have none stay as they are.

    Args:
        model: the graph for one text.
        rows: makes its products.
        exclude: names of layers; an attention whose key or value is among them stays folded, in FP32.

    Returns:
        Names of the layers that are in 8 bits now.
    """
    images = _Images(model, rows)
    done: list[str] = []
    for folded in [_read(node) for node in model.graph if _reads_key(node)]:
        if not folded.reads_one_token and not set(folded.layers) & set(exclude):
            images.attend(folded)
            done += folded.layers
    RemoveUnusedNodesPass()(model)
    return tuple(done)


@dataclass(frozen=True)
class _Folded:
    """One layer's attention as the FP32 graph has it."""

    module: str
    query: ir.Value
    """(1 or B, H, T, d), scaled."""
    image: ir.Value
    """(B, S, C')."""
    key: NDArray[Any]
    """(C', H d)."""
    value: NDArray[Any]
    """(C', H d)."""
    heads: int
    result: ir.Node
    """What gives (B, H, T, d)."""

    @property
    def reads_one_token(self) -> bool:
        """Whether T is 1, as in the last layer."""
        return self.query.shape is not None and self.query.shape[2] == 1

    @property
    def layers(self) -> tuple[str, str]:
        """Names of the two products with weights."""
        return f"{self.module}.key/MatMul", f"{self.module}.value/MatMul"


class _Images:
    """The tokens of the images, quantised once for all layers."""

    def __init__(self, model: ir.Model, rows: TokenRows) -> None:
        self._model = model
        self._rows = rows
        self._tokens: tuple[ir.Value, ir.Value] | None = None

    def attend(self, folded: _Folded) -> None:
        """Put attention in 8 bits in the place of the folded one."""
        add = Insertion(self._model, folded.result, f"{folded.module}.int8")
        numbers, scales = self._quantized(add, folded.image)
        key, value = (
            self._project(add, numbers, f"{folded.module}.{part}.weight", matrix, folded)
            for part, matrix in (("key", folded.key), ("value", folded.value))
        )
        query = add.op("Mul", folded.query, scales)
        shares = add.op(
            "Softmax", add.op("MatMul", query, add.op("Transpose", key, perm=[1, 2, 3, 0])), axis=-1
        )
        seen = add.op("MatMul", shares, add.op("Transpose", value, perm=[1, 2, 0, 3]))
        seen = add.op("Mul", seen, scales)
        old = folded.result.outputs[0]
        seen.type, seen.shape = old.type, old.shape
        ir.convenience.replace_all_uses_with(old, seen)

    def _project(
        self, add: Insertion, numbers: ir.Value, name: str, matrix: NDArray[Any], folded: _Folded
    ) -> ir.Value:
        """(S, B, C') to (S, B, H, d), not yet multiplied with the images' scales."""
        products = self._rows.multiply(add, numbers, name, matrix, folded.query)
        shape = np.array([0, 0, folded.heads, matrix.shape[1] // folded.heads], np.int64)
        return add.op("Reshape", products, constant(self._model, f"int8/heads_{folded.heads}", shape))

    def _quantized(self, add: Insertion, image: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Numbers (S, B, C') and scales (B, 1, 1, 1)."""
        if self._tokens is None:
            numbers, scales = self._rows.quantize_images(add, image)
            shape = constant(self._model, "int8/images", np.array([-1, 1, 1, 1], np.int64))
            self._tokens = add.op("Transpose", numbers, perm=[1, 0, 2]), add.op("Reshape", scales, shape)
        return self._tokens


def _reads_key(node: ir.Node) -> bool:
    return node.op_type == "MatMul" and str(_inputs(node)[1].name).endswith(_KEY)


def _read(product: ir.Node) -> _Folded:
    """Follow a layer from the product of queries and key weights to what it gives."""
    query, heads = _inputs(product)
    scores = _reader(_reader(product))
    seen = _reader(_reader(scores))
    result = _reader(_reader(seen))
    key, value = _weights(heads)[0], _weights(_inputs(result)[1])[0]  # (H, d, C'), (H, C', d)
    width = key.shape[2]
    return _Folded(
        module=str(heads.name).removesuffix(_KEY),
        query=query,
        image=_inputs(seen)[1],
        key=np.ascontiguousarray(key.transpose(2, 0, 1).reshape(width, -1)),
        value=np.ascontiguousarray(value.transpose(1, 0, 2).reshape(width, -1)),
        heads=len(key),
        result=result,
    )


def _reader(node: ir.Node) -> ir.Node:
    """The only node that reads a node's output."""
    (use,) = node.outputs[0].uses()
    return use.node


def _inputs(node: ir.Node) -> tuple[ir.Value, ir.Value]:
    left, right = node.inputs
    assert left is not None
    assert right is not None
    return left, right


def _weights(value: ir.Value) -> NDArray[Any]:
    """Weights that are stored in another form: small ones are folded by the exporter, large ones are not."""
    node = value.producer()
    if node is None:
        return array_of(value)
    source = node.inputs[0]
    assert source is not None
    if node.op_type == "Transpose":
        return _weights(source).transpose(node.attributes["perm"].as_ints())
    assert node.op_type == "Reshape"
    shape = node.inputs[1]
    assert shape is not None
    return _weights(source).reshape(array_of(shape).tolist())
