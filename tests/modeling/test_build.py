from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
from torch import nn

from cfack.config import CnnConfig, ModelConfig, load_config, preset_names
from cfack.modeling import CFACK, build_model
from cfack_runtime.errors import CheckpointError, ConfigError


def millions(*modules: nn.Module) -> float:
    """Parameters, a shared one once."""
    weights = {id(weight): weight.numel() for module in modules for weight in module.parameters()}
    return round(sum(weights.values()) / 1e6, 2)


@pytest.fixture(scope="module")
def published() -> CFACK:
    with torch.device("meta"):
        return build_model(load_config("base-384").model)


def test_the_published_model_has_the_published_number_of_parameters(published: CFACK) -> None:
    model = published
    assert model.momentum is not None
    assert model.cnn_branch is not None
    assert model.mlm_head is not None
    assert millions(model.vision_encoder) == 85.98
    assert millions(model.text_encoder.embeddings) == 23.84
    assert millions(model.text_encoder.layers) == 85.05
    assert millions(model.fusion_encoder) == 56.71
    assert millions(model.mlm_head) == 0.62
    assert millions(model.matching_head) == 1.19
    assert millions(model.vision_projection, model.text_projection) == 0.39
    assert millions(model.cnn_branch.trunk) == 87.57
    assert sum(w.numel() for w in model.parameters() if w.requires_grad) == pytest.approx(341.6e6, rel=1e-3)
    # The released momentum text encoder also carries six fusion layers that nothing reads; ours does not.
    assert millions(model.momentum) == pytest.approx(251.97 - 56.71, abs=0.02)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_can_be_built(name: str) -> None:
    config = load_config(name).model
    with torch.device("meta"):
        model = build_model(config)
    height, width = config.vision.grid
    table = model.vision_encoder.beit.blocks[-1].attn.relative_position_bias_table
    assert table.shape == ((2 * height - 1) * (2 * width - 1) + 3, config.vision.num_heads)


def test_parts_that_are_switched_off_are_not_there(small_config: ModelConfig) -> None:
    config = replace(small_config, cnn=None, momentum=False, mlm=False)
    model = build_model(config)
    for part in (model.cnn_branch, model.momentum, model.mlm_head, model.identity_classifier):
        assert part is None
    assert {name.split(".")[0] for name in model.state_dict()} == {
        "fusion_encoder",
        "matching_head",
        "temperature",
        "text_encoder",
        "text_projection",
        "vision_encoder",
        "vision_projection",
    }


@pytest.mark.parametrize(("width", "spread"), [(192, 0.04), (768, 0.02), (1024, 0.02)])
def test_fresh_weights_are_spread_as_published_and_wider_in_narrow_layers(
    small_config: ModelConfig, width: int, spread: float
) -> None:
    torch.manual_seed(0)
    vision = replace(small_config.vision, width=width)
    model = build_model(
        replace(
            small_config,
            text=replace(small_config.text, width=width, intermediate_size=512),
            vision=vision,
        )
    )
    layer = model.fusion_encoder.layers[0]
    for weight in (layer.cross_attention.key.weight, layer.feed_forward.output.weight):
        assert weight.std().item() == pytest.approx(spread, rel=0.1)
    assert not layer.cross_attention.key.bias.any()
    words = model.text_encoder.embeddings.word_embeddings.weight
    assert words[1:].std().item() == pytest.approx(spread, rel=0.1)
    assert not words[0].any()
    image_queries = model.vision_encoder.beit.blocks[0].attn.qkv.weight
    assert image_queries.std().item() == pytest.approx(spread, rel=0.1)


def test_the_identity_classifier_has_a_row_per_identity(small_config: ModelConfig) -> None:
    model = build_model(replace(small_config, num_identities=5))
    assert model.identity_classifier is not None
    assert model.identity_classifier.weight.shape == (5, 8)


def test_a_cnn_that_timm_does_not_have_is_named(small_config: ModelConfig) -> None:
    with pytest.raises(ConfigError, match=r'model\.cnn\.name: timm .* has no model "convnext"'):
        build_model(replace(small_config, cnn=CnnConfig(name="convnext")))


def test_weights_that_cannot_be_fetched_are_an_error_with_a_remedy(
    small_config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(name: str, pretrained: bool, **arguments: Any) -> nn.Module:
        assert pretrained
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", no_network)
    config = replace(small_config, cnn=CnnConfig(name="test_convnext", pretrained=True))
    with pytest.raises(CheckpointError, match=r"no route to host\n.*pretrained = false"):
        build_model(config, pretrained_cnn=True)


@pytest.mark.parametrize(("in_config", "asked"), [(True, False), (False, True)])
def test_weights_are_fetched_only_if_asked_for_twice(
    small_config: ModelConfig, monkeypatch: pytest.MonkeyPatch, in_config: bool, asked: bool
) -> None:
    create, fetched = timm.create_model, []

    def watched(name: str, pretrained: bool, **arguments: Any) -> nn.Module:
        fetched.append(pretrained)
        model: nn.Module = create(name, pretrained=False, **arguments)
        return model

    monkeypatch.setattr(timm, "create_model", watched)
    config = replace(small_config, cnn=CnnConfig(name="test_convnext", pretrained=in_config))
    build_model(config, pretrained_cnn=asked)
    assert fetched == [False]
