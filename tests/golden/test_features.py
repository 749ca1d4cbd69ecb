"""Tokens, embeddings and matching scores of the released model."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cfack.modeling import CFACK

Golden = Callable[[str], dict[str, Tensor]]


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def score_matrix(model: CFACK, inputs: dict[str, Tensor]) -> Tensor:
    """(texts, images): each text against all images in one call."""
    images = model.encode_image(inputs["image_weak"]).tokens
    texts = model.encode_text(inputs["input_ids"], inputs["attention_mask"]).tokens
    rows = zip(texts, inputs["attention_mask"], strict=True)
    return torch.stack([model.match(text[None], mask[None], images)[:, 1] for text, mask in rows])


@pytest.mark.parametrize("fused", [True, False])
@torch.no_grad()
def test_encoders_give_the_released_tokens_and_embeddings(
    official_model: CFACK, golden: Golden, fused: bool
) -> None:
    inputs, expected = golden("inputs"), golden("outputs")
    official_model.set_fused_attention(fused)
    image = official_model.encode_image(inputs["image_weak"])
    text = official_model.encode_text(inputs["input_ids"], inputs["attention_mask"])
    close(image.tokens, expected["image_tokens"])
    close(image.embedding, expected["image_embedding"])
    close(text.tokens, expected["text_tokens"])
    close(text.embedding, expected["text_embedding"])


@pytest.mark.parametrize("fused", [True, False])
@torch.no_grad()
def test_the_cross_encoder_gives_the_released_tokens_and_logits(
    official_model: CFACK, golden: Golden, fused: bool
) -> None:
    inputs, expected = golden("inputs"), golden("outputs")
    official_model.set_fused_attention(fused)
    text, mask, image = expected["text_tokens"], inputs["attention_mask"], expected["image_tokens"]
    close(official_model.fusion_encoder(text, mask, image), expected["cross_tokens"])
    close(official_model.match(text, mask, image), expected["itm_logits"])
    close(score_matrix(official_model, inputs), expected["itm_score_matrix"])


@torch.no_grad()
def test_momentum_encoders_and_cnn_branch_give_the_released_embeddings(
    official_model: CFACK, golden: Golden
) -> None:
    inputs, expected = golden("inputs"), golden("outputs")
    assert official_model.momentum is not None
    assert official_model.cnn_branch is not None
    image = official_model.momentum.embed_image(inputs["image_weak"])
    text = official_model.momentum.embed_text(inputs["input_ids"], inputs["attention_mask"])
    close(image, expected["momentum_image_embedding"])
    close(text, expected["momentum_text_embedding"])
    close(official_model.cnn_branch(inputs["image_cnn"]), expected["cnn_embedding"])


@torch.no_grad()
def test_the_layout_without_mlm_gives_the_released_embeddings_and_scores(
    official_model_without_mlm: CFACK, golden: Golden
) -> None:
    inputs, expected = golden("inputs"), golden("outputs_nomlm")
    model = official_model_without_mlm
    close(model.encode_image(inputs["image_weak"]).embedding, expected["image_embedding"])
    text = model.encode_text(inputs["input_ids"], inputs["attention_mask"])
    close(text.embedding, expected["text_embedding"])
    close(score_matrix(model, inputs), expected["itm_score_matrix"])
