"""Each loss on the released model's features."""

from collections.abc import Callable

import torch
from torch import Tensor

from cfack import losses
from cfack.losses import HardNegatives
from cfack.modeling import CFACK

Golden = Callable[[str], dict[str, Tensor]]


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_contrastive_and_sdm_losses(official_model: CFACK, golden: Golden) -> None:
    expected = golden("outputs")
    image, text = expected["image_embedding"], expected["text_embedding"]
    by_identity = losses.identity_targets(golden("inputs")["person_index"])
    diagonal = losses.diagonal_targets(6, image.device)
    temperature = official_model.temperature
    close(losses.contrastive_loss(image, text, by_identity, temperature), expected["loss_contrastive_pid"])
    close(losses.contrastive_loss(image, text, diagonal, temperature), expected["loss_contrastive_diag"])
    close(losses.sdm_loss(image, text, by_identity, temperature), expected["loss_sdm"])


@torch.no_grad()
def test_matching_loss_with_given_negatives(official_model: CFACK, golden: Golden) -> None:
    inputs, expected = golden("inputs"), golden("outputs")
    text, mask, image = expected["text_tokens"], inputs["attention_mask"], expected["image_tokens"]
    negative_image, negative_text = inputs["negative_image_index"], inputs["negative_text_index"]
    logits = [
        official_model.match(text, mask, image),
        official_model.match(text, mask, image[negative_image]),
        official_model.match(text[negative_text], mask[negative_text], image),
    ]
    every = torch.ones(6, dtype=torch.bool)
    negatives = HardNegatives(negative_image, negative_text, every, every)
    close(losses.matching_loss(torch.cat(logits), negatives), expected["loss_itm_fixed_negatives"])


@torch.no_grad()
def test_masked_language_loss(official_model: CFACK, golden: Golden) -> None:
    inputs, expected = golden("inputs"), golden("outputs")
    mask = inputs["attention_mask"]
    text = official_model.encode_text(inputs["masked_input_ids"], mask).tokens
    fused = official_model.fusion_encoder(text, mask, expected["image_tokens"])
    assert official_model.mlm_head is not None
    words = official_model.mlm_head(
        losses.select_positions(fused, inputs["masked_positions"]),
        official_model.text_encoder.embeddings.word_embeddings.weight,
    )
    close(losses.masked_language_loss(words, inputs["masked_labels"]), expected["loss_mlm"])
