from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from cfack.config import (
    CnnConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
    Switches,
    TextConfig,
    VisionConfig,
    with_overrides,
)
from cfack.modeling import build_model
from cfack.training.optimizer import ParameterGroup, build_optimizer, parameter_groups, set_learning_rate

OPTIMIZER = OptimizerConfig(
    learning_rate=1.0,
    vision_learning_rate=2.0,
    text_learning_rate=3.0,
    fusion_learning_rate=4.0,
    new_parameter_factor=10.0,
    weight_decay=0.5,
)
CONFIG = ExperimentConfig(
    model=ModelConfig(
        vision=VisionConfig(image_height=32, image_width=16, patch_size=8, width=16, depth=1, num_heads=2),
        text=TextConfig(
            vocab_size=64,
            width=16,
            num_heads=2,
            intermediate_size=32,
            num_text_layers=1,
            num_fusion_layers=1,
            max_positions=16,
            max_tokens=16,
        ),
        cnn=CnnConfig(name="test_convnext", image_height=32, image_width=32, pretrained=False),
        embed_dim=8,
        num_identities=4,
    ),
    optimizer=OPTIMIZER,
)
RELEASED = replace(CONFIG, switches=Switches(released_parameter_groups=True, temperature_as_released=True))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return build_model(CONFIG.model)


def settings(groups: list[ParameterGroup]) -> dict[str, tuple[float, bool]]:
    """Parameter name -> (learning rate, whether it decays)."""
    return {name: (group.learning_rate, group.weight_decay > 0) for group in groups for name in group.names}


@pytest.mark.parametrize("config", [CONFIG, RELEASED], ids=["clean", "released"])
def test_every_trainable_parameter_is_in_exactly_one_group(
    model: nn.Module, config: ExperimentConfig
) -> None:
    names = [name for group in parameter_groups(model, config) for name in group.names]

    assert sorted(names) == sorted(n for n, p in model.named_parameters() if p.requires_grad)
    assert not any(name.startswith("momentum.") for name in names)


@pytest.mark.parametrize(
    ("name", "rate", "decays"),
    [
        ("vision_encoder.beit.patch_embed.proj.weight", 2.0, True),
        ("vision_encoder.beit.blocks.0.attn.qkv.weight", 2.0, True),
        ("vision_encoder.beit.blocks.0.attn.q_bias", 2.0, False),
        ("vision_encoder.beit.blocks.0.attn.relative_position_bias_table", 2.0, False),
        ("vision_encoder.beit.blocks.0.gamma_1", 2.0, False),
        ("vision_encoder.beit.blocks.0.norm1.weight", 2.0, False),
        ("vision_encoder.beit.cls_token", 2.0, False),
        ("text_encoder.embeddings.word_embeddings.weight", 3.0, True),
        ("text_encoder.layers.0.output.LayerNorm.weight", 3.0, False),
        ("fusion_encoder.layers.0.cross_attention.key.weight", 4.0, True),
        ("fusion_encoder.layers.0.cross_attention_norm.weight", 4.0, False),
        ("matching_head.dense.weight", 1.0, True),
        ("matching_head.norm.weight", 1.0, False),
        ("mlm_head.dense.weight", 1.0, True),
        ("mlm_head.bias", 1.0, False),
        ("identity_classifier.weight", 1.0, True),
        ("cnn_branch.trunk.stem.0.weight", 1.0, True),
        ("cnn_branch.trunk.stem.1.weight", 1.0, False),
        ("cnn_branch.trunk.stages.0.blocks.0.gamma", 1.0, False),
        ("temperature", 1.0, False),
    ],
)
def test_clean_groups_go_by_role(model: nn.Module, name: str, rate: float, decays: bool) -> None:
    assert settings(parameter_groups(model, CONFIG))[name] == (rate, decays)


@pytest.mark.parametrize(
    ("name", "rate", "decays"),
    [
        ("vision_encoder.beit.blocks.0.attn.qkv.weight", 2.0, True),
        ("vision_encoder.beit.blocks.0.attn.relative_position_bias_table", 2.0, False),
        ("vision_encoder.beit.blocks.0.gamma_1", 2.0, True),
        ("vision_encoder.beit.blocks.0.norm1.weight", 2.0, False),
        ("vision_encoder.beit.fc_norm.weight", 2.0, False),
        ("vision_encoder.beit.cls_token", 2.0, True),
        ("text_encoder.layers.0.output.LayerNorm.weight", 3.0, False),
        ("fusion_encoder.layers.0.cross_attention.key.weight", 3.0, True),
        ("fusion_encoder.layers.0.cross_attention_norm.weight", 3.0, False),
        ("mlm_head.dense.weight", 3.0, True),
        ("mlm_head.norm.weight", 3.0, False),
        ("matching_head.norm.weight", 1.0, True),
        ("matching_head.norm.bias", 1.0, False),
        ("cnn_branch.trunk.stem.1.weight", 1.0, True),
        ("cnn_branch.trunk.stages.0.blocks.0.gamma", 1.0, True),
        ("cnn_branch.trunk.stages.0.blocks.0.norm.weight", 1.0, False),
        ("cnn_branch.trunk.stages.1.downsample.0.weight", 1.0, True),
        ("temperature", 1.0, True),
    ],
)
def test_released_groups_are_those_of_the_released_code(
    model: nn.Module, name: str, rate: float, decays: bool
) -> None:
    assert settings(parameter_groups(model, RELEASED))[name] == (rate, decays)


def test_parameters_that_the_checkpoint_did_not_hold_learn_faster(model: nn.Module) -> None:
    new = ["matching_head.dense.weight", "fusion_encoder.layers.0.cross_attention.key.weight"]

    clean = settings(parameter_groups(model, CONFIG, new))
    released = settings(parameter_groups(model, RELEASED, new))

    assert clean["matching_head.dense.weight"][0] == released["matching_head.dense.weight"][0] == 10.0
    assert clean["fusion_encoder.layers.0.cross_attention.key.weight"][0] == 40.0
    # There the encoder's rule matches the name first.
    assert released["fusion_encoder.layers.0.cross_attention.key.weight"][0] == 3.0
    assert clean["matching_head.output.weight"][0] == 1.0


def test_a_pretrained_cnn_trunk_is_not_new_unless_grouped_as_released(model: nn.Module) -> None:
    assert CONFIG.model.cnn is not None
    pretrained = replace(CONFIG.model, cnn=replace(CONFIG.model.cnn, pretrained=True))
    new = ["cnn_branch.trunk.stem.0.weight", "cnn_branch.projection.weight"]

    clean = settings(parameter_groups(model, replace(CONFIG, model=pretrained), new))
    released = settings(parameter_groups(model, replace(RELEASED, model=pretrained), new))

    assert clean["cnn_branch.trunk.stem.0.weight"][0] == 1.0
    assert clean["cnn_branch.projection.weight"][0] == 10.0
    assert released["cnn_branch.trunk.stem.0.weight"][0] == 10.0


def test_rates_that_are_not_given_fall_back_to_the_text_rate_and_the_common_one(model: nn.Module) -> None:
    only_text = replace(
        CONFIG,
        optimizer=OptimizerConfig(learning_rate=1.0, text_learning_rate=3.0, vision_learning_rate=None),
    )

    rates = settings(parameter_groups(model, only_text))

    assert rates["vision_encoder.beit.cls_token"][0] == 1.0
    assert rates["fusion_encoder.layers.0.cross_attention.key.weight"][0] == 3.0


def test_the_optimiser_has_the_published_constants_and_the_groups_of_the_configuration() -> None:
    layer = nn.Linear(2, 2)
    groups = [ParameterGroup(1.0, 0.5, ("weight",)), ParameterGroup(2.0, 0.0, ("bias",))]

    optimizer = build_optimizer(layer, groups, OptimizerConfig())

    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["betas"] == (0.9, 0.98)
    assert optimizer.defaults["eps"] == 1e-8
    assert [(g["lr"], g["weight_decay"]) for g in optimizer.param_groups] == [(1.0, 0.5), (2.0, 0.0)]


def test_the_schedule_scales_every_group_from_its_full_rate() -> None:
    layer = nn.Linear(2, 2)
    groups = [ParameterGroup(1.0, 0.5, ("weight",)), ParameterGroup(2.0, 0.0, ("bias",))]
    optimizer = build_optimizer(layer, groups, OptimizerConfig())

    set_learning_rate(optimizer, 0.5)
    set_learning_rate(optimizer, 0.25)

    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.5]


def test_position_tables_can_move_faster_than_the_rest(model: nn.Module) -> None:
    config = with_overrides(ExperimentConfig(), optimizer={"position_bias_factor": 20.0})
    rates = {name: group.learning_rate for group in parameter_groups(model, config) for name in group.names}
    table = "vision_encoder.beit.blocks.0.attn.relative_position_bias_table"
    weight = "vision_encoder.beit.blocks.0.attn.qkv.weight"
    assert rates[table] == pytest.approx(20 * rates[weight])
