"""The graphs of a bundle, as PyTorch modules with the names and shapes of the contract."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from torch import Tensor, nn

from cfack.config import ModelConfig
from cfack.modeling import CFACK, normalize_pixels
from cfack_export.image_rewrite import rewrite_vision_encoder
from cfack_export.rewrites import OneImageGraph, OneTextGraph
from cfack_runtime.graph_contract import (
    IMAGE_ENCODER,
    ONE_IMAGE,
    ONE_TEXT,
    RERANKER,
    TEXT_ENCODER,
    graph_signatures,
    rewrite_signatures,
)
from cfack_runtime.manifest import Geometry, TensorSpec


@dataclass(frozen=True)
class GraphSpec:
    """One graph to export.

    Inputs whose first axes have different names, and no size, may differ in batch if one of them is 1,
    which then serves every row of the other; the outputs have the larger batch.
    """

    name: str
    module: nn.Module
    """Takes the inputs in their order and returns the outputs as a tuple, in theirs."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    longest: int
    """Largest size of the axis `length`: the text encoder has no more positions."""


class ImageEncoderGraph(nn.Module):
    """Pixels to an embedding and tokens; scaling, normalisation and layout are inside."""

    def __init__(self, model: CFACK) -> None:
        super().__init__()
        self.model = _parts(model, "vision_encoder", "vision_projection")
        self.model._modules["vision_encoder"] = rewrite_vision_encoder(model.vision_encoder)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map uint8 (B, H, W, 3) to image_embedding (B, D) and image_tokens (B, 1+N, C)."""
        features = self.model.encode_image(normalize_pixels(pixels))
        return features.embedding, features.tokens


class TextEncoderGraph(nn.Module):
    """Token ids to an embedding and tokens."""

    def __init__(self, model: CFACK) -> None:
        super().__init__()
        self.model = _parts(model, "text_encoder", "text_projection")

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Map int64 (B, T), twice, to text_embedding (B, D) and text_tokens (B, T, C)."""
        features = self.model.encode_text(input_ids, attention_mask)
        return features.embedding, features.tokens


class RerankerGraph(nn.Module):
    """Text and image tokens to match logits."""

    def __init__(self, model: CFACK) -> None:
        super().__init__()
        self.model = _parts(model, "fusion_encoder", "matching_head")

    def forward(self, text_tokens: Tensor, attention_mask: Tensor, image_tokens: Tensor) -> tuple[Tensor]:
        """Map (B, T, C), (B, T) and (B, 1+N, C) to match_logits (B, 2)."""
        return (self.model.match(text_tokens, attention_mask, image_tokens),)


def geometry(config: ModelConfig) -> Geometry:
    """The sizes of a model that its graphs show."""
    rows, columns = config.vision.grid
    return Geometry(
        image_height=config.vision.image_height,
        image_width=config.vision.image_width,
        image_token_count=1 + rows * columns,
        image_token_width=config.vision.width,
        text_token_width=config.text.width,
        embed_dim=config.embed_dim,
        max_tokens=config.text.max_tokens,
        vocab_size=config.text.vocab_size,
    )


def graph_specs(model: CFACK) -> tuple[GraphSpec, ...]:
    """Describe the graphs of a model, in the order of the contract.

    Their modules share the model's weights but for those that a rewrite changes, and hold none of those that
    only training uses.
    """
    modules = {
        IMAGE_ENCODER: ImageEncoderGraph(model),
        TEXT_ENCODER: TextEncoderGraph(model),
        RERANKER: RerankerGraph(model),
    }
    longest = model.config.text.max_positions
    return tuple(
        GraphSpec(name, modules[name], inputs, outputs, longest)
        for name, (inputs, outputs) in graph_signatures(geometry(model.config)).items()
    )


def rewrite_specs(model: CFACK) -> tuple[GraphSpec, ...]:
    """Describe the exact rewrites of the re-ranker, for one text with many images and the reverse.

    A bundle may lack them; they share the model's weights, as the graphs of `graph_specs` do.
    """
    modules = {ONE_TEXT: OneTextGraph(model), ONE_IMAGE: OneImageGraph(model)}
    longest = model.config.text.max_positions
    return tuple(
        GraphSpec(name, modules[name], inputs, outputs, longest)
        for name, (inputs, outputs) in rewrite_signatures(geometry(model.config)).items()
    )


def _parts(model: CFACK, *names: str) -> CFACK:
    """Copy the model's shell with these children only: an exporter carries every weight it can reach."""
    shell = copy.copy(model)
    shell._modules = {name: model._modules[name] for name in names}
    shell._parameters = {}
    return shell
