"""From the key names of the released code (CFACK and X²-VLM) to ours.

Two layouts exist: with a masked-language-model head the text encoder's keys begin with `text_encoder.bert.`,
without one with `text_encoder.`. The momentum text encoder never has the `bert.`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from cfack.modeling.transplant import TranslatedWeights
from cfack_runtime.errors import CheckpointError

_RENAMED = {
    "vision_encoder": "vision_encoder.beit",
    "vision_proj": "vision_projection",
    "text_proj": "text_projection",
    "itm_head.0": "matching_head.dense",
    "itm_head.1": "matching_head.norm",
    "itm_head.3": "matching_head.output",
    "classifier": "identity_classifier",
    "vision_encoder_m": "momentum.vision_encoder.beit",
    "vision_proj_m": "momentum.vision_projection",
    "text_proj_m": "momentum.text_projection",
    "pret_model": "cnn_branch.trunk",
    "text_encoder.embeddings": "text_encoder.embeddings",
    "text_encoder_m.embeddings": "momentum.text_encoder.embeddings",
    "text_encoder.cls.predictions.transform.dense": "mlm_head.dense",
    "text_encoder.cls.predictions.transform.LayerNorm": "mlm_head.norm",
}
"""Prefix there -> prefix here; what follows the prefix is the same."""

_FUSION_RENAMED = {
    "attention.self": "self_attention",
    "attention.output.dense": "self_attention.output",
    "attention.output.LayerNorm": "self_attention_norm",
    "crossattention.self": "cross_attention",
    "crossattention.output.dense": "cross_attention.output",
    "crossattention.output.LayerNorm": "cross_attention_norm",
    "intermediate.dense": "feed_forward.intermediate",
    "output.dense": "feed_forward.output",
    "output.LayerNorm": "feed_forward_norm",
}
"""Inside a layer with cross-attention."""

_UNUSED = (
    (r"\.relative_position_index$", "computed from the image size"),
    (r"\.embeddings\.position_ids$", "computed: 0, 1, 2, ..."),
    (r"^bbox_head\.", "bounding-box head of the X²-VLM pre-training, which CFACK does not have"),
    (
        r"(^|\.)absolute_frame_pos_embed$",
        "frame positions of the video pre-training, which CFACK does not have",
    ),
)
UNKNOWN = "no part of CFACK has a parameter of this name"

_TEXT_LAYER = re.compile(r"^text_encoder(_m)?\.encoder\.layer\.(\d+)\.(.+)$")
_CROSS_ATTENTION = re.compile(r"^text_encoder\.(?:bert\.)?encoder\.layer\.(\d+)\.crossattention\.")
_PREDICTIONS = re.compile(r"^text_encoder\.cls\.predictions\.")


def first_fusion_layer(keys: Mapping[str, Tensor]) -> int:
    """The number of text layers: the first of the released text encoder's layers that has cross-attention.

    Raises:
        CheckpointError: none has.
    """
    layers = [int(found[1]) for found in map(_CROSS_ATTENTION.match, keys) if found]
    if not layers:
        raise CheckpointError(
            "no key text_encoder.[bert.]encoder.layer.N.crossattention.*: these are not the weights of a "
            "CFACK or X²-VLM model, whose upper text layers attend to the image"
        )
    return min(layers)


def translate(state: Mapping[str, Tensor]) -> TranslatedWeights:
    """Give every tensor of a released file our name, or say why it gets none.

    Raises:
        CheckpointError: not the weights of such a model; two keys mean the same parameter; or the
            masked-language decoder differs from the word embeddings it should be tied to.
    """
    text_layers = first_fusion_layer(state)
    linear_head = any(key.startswith("pret_model.") for key in state)
    weights: dict[str, Tensor] = {}
    file_keys: dict[str, str] = {}
    unused: dict[str, str] = {}
    for key, tensor in state.items():
        reason = _reason_against(key, state, text_layers)
        name = None if reason else _our_name(key, text_layers, linear_head)
        if name is None:
            unused[key] = reason or UNKNOWN
        elif name in weights:
            raise CheckpointError(f"{file_keys[name]} and {key} both mean {name}; one of them must go")
        else:
            weights[name], file_keys[name] = tensor, key
    return TranslatedWeights(weights, file_keys, unused)


def released_key(name: str, state: Mapping[str, Tensor]) -> str:
    """The key under which a file like `state` would hold our parameter `name`; for messages."""
    text_layers = first_fusion_layer(state)
    bert = "bert." if any(key.startswith("text_encoder.bert.") for key in state) else ""
    found = re.match(r"^(momentum\.)?(text|fusion)_encoder\.layers\.(\d+)\.(.+)$", name)
    if found:
        encoder, dot = ("text_encoder_m", "") if found[1] else ("text_encoder", bert)
        layer, rest = int(found[3]), found[4]
        if found[2] == "fusion":
            layer, rest = layer + text_layers, _renamed(rest, _inverse(_FUSION_RENAMED)) or rest
        return f"{encoder}.{dot}encoder.layer.{layer}.{rest}"
    if name == "temperature":
        return "temp"
    if name == "mlm_head.bias":
        return "text_encoder.cls.predictions.bias"
    if name.startswith("cnn_branch.projection.") or not any(key.startswith("pret_model.") for key in state):
        name = re.sub(r"^cnn_branch\.(projection|trunk)", "cnn_encoder", name)
    name = _renamed(name, _inverse(_RENAMED)) or name
    return name.replace("text_encoder.", f"text_encoder.{bert}") if ".embeddings." in name else name


def _inverse(table: Mapping[str, str]) -> dict[str, str]:
    return {new: old for old, new in table.items()}


def _our_name(key: str, text_layers: int, linear_head: bool) -> str | None:
    """Our name of a released key, or None for a stranger."""
    key = re.sub(r"^(text_encoder(_m)?)\.bert\.", r"\1.", key)
    layer = _TEXT_LAYER.match(key)
    if layer:
        return _text_layer_name(int(layer[2]), layer[3], "momentum." if layer[1] else "", text_layers)
    if key == "temp":
        return "temperature"
    if key == "text_encoder.cls.predictions.bias":
        return "mlm_head.bias"
    if key.startswith("cnn_encoder."):
        part = "projection" if linear_head else "trunk"
        return f"cnn_branch.{part}.{key.removeprefix('cnn_encoder.')}"
    return _renamed(key, _RENAMED)


def _text_layer_name(layer: int, rest: str, prefix: str, text_layers: int) -> str | None:
    if layer < text_layers:
        return f"{prefix}text_encoder.layers.{layer}.{rest}"
    name = _renamed(rest, _FUSION_RENAMED)
    return name and f"{prefix}fusion_encoder.layers.{layer - text_layers}.{name}"


def _renamed(key: str, table: Mapping[str, str]) -> str | None:
    """The key with its longest known prefix replaced, or None."""
    prefix = max((old for old in table if key.startswith(f"{old}.")), key=len, default=None)
    return None if prefix is None else table[prefix] + key[len(prefix) :]


def _reason_against(key: str, state: Mapping[str, Tensor], text_layers: int) -> str | None:
    """Why a known key of the released files has no counterpart here; None if it has one."""
    for pattern, reason in _UNUSED:
        if re.search(pattern, key):
            return reason
    layer = _TEXT_LAYER.match(key.replace("text_encoder_m.bert.", "text_encoder_m."))
    if layer and layer[1] and int(layer[2]) >= text_layers:
        return "fusion layer of the momentum text encoder, which no code ever runs"
    if not _PREDICTIONS.match(key) or ".decoder." not in key:
        return None
    if key.endswith("decoder.bias"):
        _require_equal(key, state, "text_encoder.cls.predictions.bias")
        return "the same tensor as text_encoder.cls.predictions.bias"
    words = next(
        (k for k in state if re.match(r"text_encoder\.(bert\.)?embeddings\.word_embeddings", k)), None
    )
    if words:
        _require_equal(key, state, words)
    return "tied to the word embeddings, and equal to them"


def _require_equal(key: str, state: Mapping[str, Tensor], other: str) -> None:
    if other in state and not torch.equal(state[key], state[other]):
        raise CheckpointError(
            f"{key} differs from {other}, though they are one tensor in CFACK; the file was not written by "
            "the released code, or was changed afterwards"
        )
