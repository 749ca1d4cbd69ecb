"""Cross-attention of one text to many images in 8 bits, folded as it is in FP32.

The FP32 graph for one text computes no keys and values: its two large products are those of the folded
queries and of the attention's shares with the image tokens themselves. Neither has a weight, and both are
done in 8 bits here: image tokens are quantised once for all layers, queries and shares row by row. Keys and
values of every image in 8 bits would take a third longer at base size and 24 tokens.

An image has one scale, not one for each token: a sum over tokens, as the second product is, has no place for
scales of its terms. On the trained small model that changed logits no more than a scale for each token did.
Images do not depend on their batch.

Shapes: B images, S image tokens of width C', T text tokens, H heads.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from cfack_export.precision.editing import Insertion, constant, replace_output
from cfack_export.precision.int8_cpu_rows import TokenRows
from cfack_export.precision.layers import module_of

_KEY = ".key.weight.heads"


def quantize_attention(model: ir.Model, rows: TokenRows, exclude: Collection[str]) -> tuple[str, ...]:
    """Put the products of every folded cross-attention in 8 bits, in place; other graphs stay as they are.

    Args:
        model: the graph for one text.
        rows: makes the products.
        exclude: names of layers; the product with the image that belongs to a key or a value among them stays
            in FP32.

    Returns:
        Names of the layers whose products are in 8 bits now.
    """
    images = _Images(model, rows)
    done: list[str] = []
    for folded in [_read(node) for node in model.graph if _reads_key(node)]:
        if folded.reads_one_token:  # next to nothing
            continue
        if folded.key not in exclude:
            images.score(folded.scores)
            done.append(folded.key)
        if folded.value not in exclude:
            images.see(folded.seen)
            done.append(folded.value)
    RemoveUnusedNodesPass()(model)
    return tuple(done)


@dataclass(frozen=True)
class _Folded:
    """One layer's attention as the FP32 graph has it."""

    scores: ir.Node
    """(1 or B, H T, C') times (B, C', S)."""
    seen: ir.Node
    """(B, H T, S) times (B, S, C')."""

    @property
    def reads_one_token(self) -> bool:
        """Whether T is 1, as in the last layer."""
        rows = self.scores.inputs[0]
        return rows is not None and rows.shape is not None and isinstance(rows.shape[1], int)

    @property
    def key(self) -> str:
        """Name of the layer that the first product stands for."""
        return f"{module_of(self.scores)}.key/MatMul"

    @property
    def value(self) -> str:
        """Name of the layer that the second product stands for."""
        return f"{module_of(self.scores)}.value/MatMul"


class _Images:
    """The tokens of the images, quantised once for all layers, and products with them."""

    def __init__(self, model: ir.Model, rows: TokenRows) -> None:
        self._model = model
        self._rows = rows
        self._quantized: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}

    def score(self, node: ir.Node) -> None:
        """Replace the product of folded queries (1 or B, M, C') with transposed images (B, C', S)."""
        queries, images = _inputs(node)
        add = Insertion(self._model, node, f"{module_of(node)}.key.int8")
        numbers, scales = self._rows.quantize(add, queries, _size(images, 1))
        self._replace(add, node, numbers, scales, self._rows.zero_point)

    def see(self, node: ir.Node) -> None:
        """Replace the product of shares (B, M, S), none below zero, with images (B, S, C')."""
        shares, images = _inputs(node)
        add = Insertion(self._model, node, f"{module_of(node)}.value.int8")
        step = constant(self._model, "int8/share", np.array(1 / np.iinfo(np.uint8).max, np.float32))
        last = constant(self._model, "int8/axes_1", np.array([-1], np.int64))
        scales = add.op("Mul", add.op("ReduceMax", shares, last, keepdims=1), step)
        zero = constant(self._model, "int8/no_zero_point", np.array(0, np.uint8))
        numbers = self._rows.numbers_of_rows(add, shares, _size(images, 1), scales, zero)
        self._replace(add, node, numbers, scales, zero)

    def _replace(
        self, add: Insertion, node: ir.Node, numbers: ir.Value, scales: ir.Value, zero: ir.Value
    ) -> None:
        right = _inputs(node)[1]
        images, image_scales = self._images(add, right)
        products = add.op("MatMulInteger", numbers, images, zero)
        scales = add.op("Mul", scales, image_scales)  # (B, M, 1)
        replace_output(node, self._rows.values_of_rows(add, products, _size(right, 2), scales))

    def _images(self, add: Insertion, images: ir.Value) -> tuple[ir.Value, ir.Value]:
        """An input of the graph, or its transpose, as int8; and its scales (B, 1, 1)."""
        if images not in self._quantized:
            transpose = images.producer()
            if transpose is None:
                scales = self._rows.scales(add, images, np.array([1, 2], np.int64))
                zero = constant(self._model, "int8/signed_zero_point", np.array(0, np.int8))
                numbers = self._rows.numbers(add, images, scales, zero)
                self._quantized[images] = numbers, scales
            else:
                (tokens,) = transpose.inputs
                assert tokens is not None
                numbers, scales = self._images(add, tokens)
                perm = transpose.attributes["perm"].as_ints()
                self._quantized[images] = add.op("Transpose", numbers, perm=perm), scales
        return self._quantized[images]


def _inputs(node: ir.Node) -> tuple[ir.Value, ir.Value]:
    left, right = node.inputs
    assert left is not None
    assert right is not None
    return left, right


def _size(value: ir.Value, axis: int) -> int:
    assert value.shape is not None
    size = value.shape[axis]
    assert isinstance(size, int)
    return size


def _reads_key(node: ir.Node) -> bool:
    weight = node.inputs[1] if node.op_type == "MatMul" else None
    return weight is not None and str(weight.name).endswith(_KEY)


def _read(product: ir.Node) -> _Folded:
    """Follow a layer from the product of queries and key weights."""
    scores = _reader(_reader(product))
    return _Folded(scores, _reader(_reader(scores)))


def _reader(node: ir.Node) -> ir.Node:
    """The only node that reads a node's output."""
    (use,) = node.outputs[0].uses()
    return use.node
