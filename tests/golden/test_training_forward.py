"""One whole training forward pass of the released code, with its momentum update."""

from collections.abc import Callable

import torch
from torch import Tensor

from cfack.config import ExperimentConfig, Switches
from cfack.data.batch import TrainingBatch
from cfack.losses import HardNegatives
from cfack.modeling import CFACK
from cfack.training.objective import Objective

Golden = Callable[[str], dict[str, Tensor]]


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def test_losses_and_momentum_update_in_the_official_mode(official_model: CFACK, golden: Golden) -> None:
    inputs, expected = golden("inputs"), golden("outputs")
    batch = TrainingBatch(
        image_weak=inputs["image_weak"],
        image_strong=inputs["image_strong"],
        image_cnn=inputs["image_cnn"],
        original_ids=inputs["input_ids"],
        original_mask=inputs["attention_mask"],
        augmented_ids=inputs["augmented_input_ids"],
        augmented_mask=inputs["augmented_attention_mask"],
        masked_ids=inputs["masked_input_ids"],
        masked_positions=inputs["masked_positions"],
        masked_labels=inputs["masked_labels"],
        identity=inputs["person_index"],
    )
    every = torch.ones(6, dtype=torch.bool)
    negatives = HardNegatives(inputs["negative_image_index"], inputs["negative_text_index"], every, every)
    objective = Objective(
        ExperimentConfig(mode="official", model=official_model.config, switches=Switches.official())
    )
    objective.prepare(official_model)
    objective.before_step(official_model)
    with torch.no_grad():
        terms = objective(official_model, batch, negatives).terms
    close(terms["contrastive"], expected["forward_loss_itc"])
    close(terms["matching"], expected["forward_loss_itm"])
    close(terms["masked_language"], expected["forward_loss_mlm"])

    state = official_model.state_dict()
    for ours, theirs in {
        "vision_encoder.beit.blocks.0.attn.qkv": "vision_encoder_m.blocks.0.attn.qkv",
        "text_encoder.layers.0.attention.self.query": "text_encoder_m.encoder.layer.0.attention.self.query",
        "vision_projection": "vision_proj_m",
    }.items():
        close(state[f"momentum.{ours}.weight"], expected[f"after_step.{theirs}.weight"])
