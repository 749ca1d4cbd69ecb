"""The released model's weights in ours, and what the released code computed with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from cfack.config import CnnConfig, ExperimentConfig, ModelConfig, TextConfig, VisionConfig
from cfack.modeling import CFACK, build_model
from cfack.modeling.start import start_from

GOLDEN = Path(__file__).parent / "official-tiny"


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, Tensor]]:
    """Read one file of tensors; a missing file is an error."""
    return lambda name: load_file(GOLDEN / f"{name}.safetensors")


@pytest.fixture
def official_model() -> CFACK:
    """The checkpoint with every part."""
    return _load(
        "cfack_tiny_official.th", _geometry(CnnConfig("test_convnext", pretrained=False), True, True)
    )


@pytest.fixture
def official_model_without_mlm() -> CFACK:
    """The checkpoint of the other key layout."""
    return _load("cfack_tiny_official_nomlm.th", _geometry(None, False, False))


def _geometry(cnn: CnnConfig | None, momentum: bool, mlm: bool) -> ModelConfig:
    return ModelConfig(
        vision=VisionConfig(image_height=64, image_width=64, width=64, depth=3, num_heads=4),
        text=TextConfig(
            vocab_size=512,
            width=64,
            num_heads=4,
            intermediate_size=128,
            num_text_layers=2,
            num_fusion_layers=2,
            max_positions=64,
            max_tokens=16,
        ),
        cnn=cnn,
        embed_dim=32,
        momentum=momentum,
        mlm=mlm,
    )


def _load(file: str, config: ModelConfig) -> CFACK:
    model = build_model(config)
    report = start_from(model, GOLDEN / file, ExperimentConfig(model=config))
    assert not report.missing
    assert not report.resized
    return model.eval()
