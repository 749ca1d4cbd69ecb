from __future__ import annotations

import pytest
import torch
from torch import nn

from cfack.config import CnnConfig, ModelConfig, TextConfig, VisionConfig
from cfack.modeling import CFACK, build_model


@pytest.fixture(scope="session")
def small_config() -> ModelConfig:
    """Every part of the model, no randomness in training: 24 x 16 images of 3 x 2 patches."""
    return ModelConfig(
        vision=VisionConfig(
            image_height=24,
            image_width=16,
            patch_size=8,
            width=16,
            depth=2,
            num_heads=2,
            drop_path_rate=0.0,
        ),
        text=TextConfig(
            vocab_size=32,
            width=16,
            num_heads=2,
            intermediate_size=32,
            num_text_layers=2,
            num_fusion_layers=2,
            max_positions=16,
            max_tokens=12,
            dropout=0.0,
        ),
        cnn=CnnConfig(name="test_convnext", image_height=32, image_width=32, pretrained=False),
        embed_dim=8,
    )


@pytest.fixture
def small_model(small_config: ModelConfig) -> CFACK:
    """In evaluation mode, with weights large enough that every input shows in the outputs."""
    torch.manual_seed(0)
    model = build_model(small_config)
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.3)
    return model.eval()
