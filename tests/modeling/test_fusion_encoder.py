import pytest
import torch

from cfack.modeling import CFACK
from cfack.modeling.attention import Attention
from cfack_runtime.errors import UsageError

TEXT, IMAGE = torch.randn(3, 5, 16), torch.randn(3, 7, 16)
MASK = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])


@pytest.mark.parametrize("fused", [True, False])
@torch.no_grad()
def test_one_text_meets_many_images(small_model: CFACK, fused: bool) -> None:
    small_model.set_fused_attention(fused)
    together = small_model.match(TEXT[:1], MASK[:1], IMAGE)
    assert together.shape == (3, 2)
    pairs = [small_model.match(TEXT[:1], MASK[:1], image[None]) for image in IMAGE]
    torch.testing.assert_close(together, torch.cat(pairs), atol=1e-6, rtol=0)


@pytest.mark.parametrize("fused", [True, False])
@torch.no_grad()
def test_one_image_meets_many_texts(small_model: CFACK, fused: bool) -> None:
    small_model.set_fused_attention(fused)
    together = small_model.match(TEXT, MASK, IMAGE[:1])
    pairs = [small_model.match(TEXT[i : i + 1], MASK[i : i + 1], IMAGE[:1]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(pairs), atol=1e-6, rtol=0)


@torch.no_grad()
def test_an_index_says_which_image_a_text_attends_to(small_model: CFACK) -> None:
    index = torch.tensor([2, 2, 0])
    indexed = small_model.fusion_encoder(TEXT, MASK, IMAGE[:3], index)
    plain = small_model.fusion_encoder(TEXT, MASK, IMAGE[index])
    torch.testing.assert_close(indexed, plain, atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_score_depends_on_the_image_and_not_on_the_padding(small_model: CFACK) -> None:
    garbage = TEXT.clone()
    garbage[0, 3:] = 100.0
    clean = small_model.match(TEXT, MASK, IMAGE)
    torch.testing.assert_close(small_model.match(garbage, MASK, IMAGE), clean, atol=1e-6, rtol=0)
    assert not torch.allclose(small_model.match(TEXT, MASK, IMAGE.flip(0))[0], clean[0])


@pytest.mark.parametrize("fused", [True, False])
def test_attention_drops_out_in_training_only(fused: bool) -> None:
    attention = Attention(16, 16, num_heads=2, dropout=0.5)
    attention.fused = fused
    assert not torch.equal(attention(TEXT, IMAGE), attention(TEXT, IMAGE))
    attention.eval()
    assert torch.equal(attention(TEXT, IMAGE), attention(TEXT, IMAGE))


def test_batches_that_do_not_fit_are_refused(small_model: CFACK) -> None:
    with pytest.raises(UsageError, match="3 texts and 2 images"):
        small_model.match(TEXT, MASK, IMAGE[:2])
