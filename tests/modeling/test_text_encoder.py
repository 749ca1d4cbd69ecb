import pytest
import torch

from cfack.modeling import CFACK
from cfack.modeling.attention import additive_mask

IDS = torch.tensor([[2, 10, 11, 3, 0, 0], [2, 12, 13, 14, 15, 3]])
MASK = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])


@pytest.mark.parametrize("fused", [True, False])
@torch.no_grad()
def test_what_stands_in_the_padding_changes_no_token(small_model: CFACK, fused: bool) -> None:
    small_model.set_fused_attention(fused)
    garbage = IDS.clone()
    garbage[0, 4:] = torch.tensor([17, 29])
    clean, dirty = small_model.encode_text(IDS, MASK), small_model.encode_text(garbage, MASK)
    torch.testing.assert_close(dirty.tokens[0, :4], clean.tokens[0, :4], atol=1e-6, rtol=0)
    torch.testing.assert_close(dirty.embedding, clean.embedding, atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_caption_may_be_padded_to_any_length(small_model: CFACK) -> None:
    short = small_model.encode_text(IDS[:1, :4], MASK[:1, :4])
    long = small_model.encode_text(IDS[:1], MASK[:1])
    torch.testing.assert_close(long.tokens[:, :4], short.tokens, atol=1e-6, rtol=0)
    torch.testing.assert_close(long.embedding, short.embedding, atol=1e-6, rtol=0)


@pytest.mark.parametrize("fused", [True, False])
@torch.no_grad()
def test_a_row_that_is_all_padding_stays_finite(small_model: CFACK, fused: bool) -> None:
    small_model.set_fused_attention(fused)
    features = small_model.encode_text(IDS, torch.zeros_like(MASK))
    assert features.tokens.isfinite().all()
    torch.testing.assert_close(features.embedding.norm(dim=1), torch.ones(2))


def test_the_mask_is_finite_in_half_precision() -> None:
    mask = additive_mask(MASK, torch.float16)
    assert mask.shape == (2, 1, 1, 6)
    assert mask[0, 0, 0].tolist() == [0, 0, 0, 0, -10000, -10000]


@torch.no_grad()
def test_embeddings_are_float32_and_close_under_bfloat16_autocast(small_model: CFACK) -> None:
    exact = small_model.encode_text(IDS, MASK).embedding
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = small_model.encode_text(IDS, MASK).embedding
    assert rounded.dtype == torch.float32
    assert (exact * rounded).sum(dim=1).min() > 0.999
