import pytest
import torch

from cfack.config import VisionConfig
from cfack.modeling import CFACK
from cfack_runtime.errors import ConfigError, UsageError


@torch.no_grad()
def test_the_first_token_is_the_mean_of_the_patch_tokens(small_model: CFACK) -> None:
    tokens = small_model.encode_image(torch.randn(2, 3, 24, 16)).tokens
    assert tokens.shape == (2, 1 + 6, 16)
    torch.testing.assert_close(tokens[:, 0], tokens[:, 1:].mean(dim=1))


@torch.no_grad()
def test_embeddings_have_length_one(small_model: CFACK) -> None:
    embedding = small_model.encode_image(torch.randn(3, 3, 24, 16)).embedding
    assert embedding.shape == (3, 8)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))


@torch.no_grad()
def test_patches_know_where_they_are(small_model: CFACK) -> None:
    """Relative-position tables have one row per offset of a 3 x 2 grid and three for the class token."""
    attention = small_model.vision_encoder.beit.blocks[0].attn
    assert attention.relative_position_bias_table.shape == (5 * 3 + 3, 2)
    image = torch.randn(1, 3, 24, 16)
    swapped = torch.cat(
        [image[:, :, 16:], image[:, :, 8:16], image[:, :, :8]], dim=2
    )  # rows of patches reversed
    before = small_model.encode_image(image).embedding
    torch.testing.assert_close(small_model.encode_image(swapped).embedding, before)
    attention.relative_position_bias_table.normal_()
    assert not torch.allclose(
        small_model.encode_image(swapped).embedding, small_model.encode_image(image).embedding, atol=1e-4
    )


def test_images_of_another_size_are_refused(small_model: CFACK) -> None:
    with pytest.raises(UsageError, match="16 x 24 given to a vision encoder for 24 x 16"):
        small_model.encode_image(torch.zeros(1, 3, 16, 24))


def test_a_size_that_cannot_be_cut_into_patches_is_refused() -> None:
    with pytest.raises(ConfigError, match="patches of 16"):
        VisionConfig(image_height=100)
