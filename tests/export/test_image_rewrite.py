import copy

import pytest
import torch

from cfack.modeling import CFACK
from cfack_export.image_rewrite import rewrite_vision_encoder
from cfack_export.onnx_export import ready_for_export


@pytest.fixture
def trained(model: CFACK) -> CFACK:
    """A model in which no bias is zero, no gain is one and no position like another."""
    changed = copy.deepcopy(model)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in changed.vision_encoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return changed


def test_the_rewritten_encoder_gives_the_same_tokens(trained: CFACK) -> None:
    images = torch.randn(3, 3, *trained.vision_encoder.beit.patch_embed.img_size)
    with torch.no_grad(), ready_for_export(trained):
        wanted = trained.vision_encoder(images)
        got = rewrite_vision_encoder(trained.vision_encoder)(images)

    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
    assert wanted.std() > 0.1


def test_the_model_keeps_its_own_blocks(trained: CFACK) -> None:
    encoder = trained.vision_encoder
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    rewrite_vision_encoder(encoder)

    after = encoder.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_model_without_gains_is_rewritten_too(trained: CFACK) -> None:
    for block in trained.vision_encoder.beit.blocks:
        block.gamma_1 = block.gamma_2 = None
    images = torch.randn(1, 3, *trained.vision_encoder.beit.patch_embed.img_size)
    with torch.no_grad(), ready_for_export(trained):
        wanted = trained.vision_encoder(images)
        got = rewrite_vision_encoder(trained.vision_encoder)(images)

    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
