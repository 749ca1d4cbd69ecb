"""From a configuration to a model; the only place where numbers enter modules."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import timm
import torch
from timm.models.beit import Beit
from torch import nn
from transformers import BertConfig

from cfack.config import CnnConfig, ModelConfig, TextConfig, VisionConfig
from cfack.modeling.attention import Attention
from cfack.modeling.cfack import CFACK
from cfack.modeling.cnn_branch import CnnBranch
from cfack.modeling.fusion_encoder import FeedForward, FusionEncoder, FusionLayer
from cfack.modeling.heads import MaskedLanguageHead, MatchingHead
from cfack.modeling.text_encoder import TextEncoder
from cfack.modeling.vision_encoder import VisionEncoder
from cfack_runtime.errors import CheckpointError, ConfigError

_INIT_STD = 0.02
_INIT_WIDTH = 768
"""BERT and BEiT draw weights with standard deviation 0.02 at width 768."""


def build_model(config: ModelConfig, *, pretrained_cnn: bool = False) -> CFACK:
    """Build a model with fresh weights, in training mode.

    Args:
        config: the geometry.
        pretrained_cnn: fetch timm's weights for the CNN branch; for a training that no checkpoint supplies
            with them.

    Raises:
        ConfigError: timm has no CNN of that name, or it cannot be built as asked.
        CheckpointError: the CNN's weights cannot be fetched.
    """
    text, width = config.text, config.text.width
    return CFACK(
        config,
        vision_encoder=_vision_encoder(config.vision),
        text_encoder=_text_encoder(text),
        fusion_encoder=_fusion_encoder(text, config.vision.width),
        matching_head=MatchingHead(width),
        mlm_head=_mlm_head(text) if config.mlm else None,
        cnn_branch=_cnn_branch(config.cnn, config.embed_dim, pretrained_cnn) if config.cnn else None,
        identity_classifier=(
            nn.Linear(config.embed_dim, config.num_identities) if config.num_identities else None
        ),
    )


def _vision_encoder(config: VisionConfig) -> VisionEncoder:
    """BEiT-v2 without absolute positions, initialised as published: normal weights, rescaled by depth."""
    beit = Beit(
        img_size=(config.image_height, config.image_width),
        patch_size=config.patch_size,
        num_classes=0,
        global_pool="avg",
        embed_dim=config.width,
        depth=config.depth,
        num_heads=config.num_heads,
        mlp_ratio=config.mlp_ratio,
        qkv_bias=True,
        drop_path_rate=config.drop_path_rate,
        norm_layer=partial(nn.LayerNorm, eps=config.layer_norm_eps),
        init_values=config.init_values,
        use_abs_pos_emb=False,
        use_rel_pos_bias=True,
    )
    with torch.no_grad():
        for module in beit.modules():
            if isinstance(module, nn.Linear):  # timm draws them with the published deviation
                module.weight.mul_(_init_std(config.width) / _INIT_STD)
    return VisionEncoder(beit)


def _text_encoder(config: TextConfig) -> TextEncoder:
    encoder = TextEncoder(
        BertConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.width,
            num_hidden_layers=config.num_text_layers,
            num_attention_heads=config.num_heads,
            intermediate_size=config.intermediate_size,
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.dropout,
            max_position_embeddings=config.max_positions,
            layer_norm_eps=config.layer_norm_eps,
            attn_implementation="sdpa",
        )
    )
    encoder.apply(partial(_initialize_as_bert, std=_init_std(config.width)))
    return encoder


def _fusion_encoder(config: TextConfig, image_width: int) -> FusionEncoder:
    attention = partial(Attention, config.width, num_heads=config.num_heads, dropout=config.dropout)
    encoder = FusionEncoder(
        [
            FusionLayer(
                attention(config.width),
                attention(image_width),
                FeedForward(config.width, config.intermediate_size),
                width=config.width,
                dropout=config.dropout,
                layer_norm_eps=config.layer_norm_eps,
            )
            for _ in range(config.num_fusion_layers)
        ]
    )
    encoder.apply(partial(_initialize_as_bert, std=_init_std(config.width)))
    return encoder


def _mlm_head(config: TextConfig) -> MaskedLanguageHead:
    head = MaskedLanguageHead(config.width, config.vocab_size, config.layer_norm_eps)
    head.apply(partial(_initialize_as_bert, std=_init_std(config.width)))
    return head


def _init_std(width: int) -> float:
    """0.02 from width 768 upwards, as published; narrower layers keep the gain that it gives there.

    A layer's output is as large as std * sqrt(width): at width 64 a std of 0.02 would leave every residual
    branch so weak that training from random weights takes several times as many steps.
    """
    return _INIT_STD * max(1.0, math.sqrt(_INIT_WIDTH / width))


def _initialize_as_bert(module: nn.Module, std: float) -> None:
    """Normal weights of one standard deviation, zero biases, zero padding embedding."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=std)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        nn.init.zeros_(module.weight[module.padding_idx])


def _cnn_branch(config: CnnConfig, embed_dim: int, pretrained: bool) -> CnnBranch:
    num_classes = embed_dim if config.head == "timm" else 0
    trunk = _timm_model(config, num_classes, pretrained and config.pretrained)
    if config.head == "timm":
        return CnnBranch(trunk, None)
    return CnnBranch(trunk, nn.Linear(trunk.head_hidden_size, embed_dim))


def _timm_model(config: CnnConfig, num_classes: int, pretrained: bool) -> Any:
    if not timm.is_model(config.name):
        raise ConfigError(
            f'model.cnn.name: timm {timm.__version__} has no model "{config.name}"; '
            f"`timm.list_models()` lists what it has"
        )
    try:
        model = timm.create_model(config.name, pretrained=pretrained, num_classes=num_classes)
    except Exception as error:  # timm, huggingface_hub and the network below raise whatever they like
        if not pretrained:
            raise ConfigError(f'model.cnn: timm cannot build "{config.name}": {error}') from error
        raise CheckpointError(
            f'cannot fetch timm\'s weights for "{config.name}": {error}\n'
            "Start from a checkpoint that holds the CNN branch, or set `pretrained = false` under [model.cnn]"
        ) from error
    if hasattr(model, "set_input_size"):  # transformers among timm's models are built for one size
        model.set_input_size(img_size=(config.image_height, config.image_width))
    return model
