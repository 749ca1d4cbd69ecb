import torch

from cfack.config import ModelConfig
from cfack.modeling import CFACK, build_model


def test_momentum_encoders_begin_as_copies(small_config: ModelConfig) -> None:
    model = build_model(small_config)
    assert model.momentum is not None
    copies = dict(model.momentum.named_parameters())
    online = dict(model.named_parameters())
    assert {name.split(".")[0] for name in copies} == {
        "vision_encoder",
        "text_encoder",
        "vision_projection",
        "text_projection",
    }
    for name, copied in copies.items():
        torch.testing.assert_close(copied, online[name], atol=0, rtol=0)
        assert copied.data_ptr() != online[name].data_ptr()
        assert not copied.requires_grad


@torch.no_grad()
def test_an_update_moves_every_copy_by_one_minus_the_coefficient(small_model: CFACK) -> None:
    momentum = small_model.momentum
    assert momentum is not None
    online = dict(small_model.named_parameters())
    for name, copied in momentum.named_parameters():
        copied.fill_(2.0)
        online[name].fill_(10.0)
    momentum.update(small_model, 0.75)
    for copied in momentum.parameters():
        torch.testing.assert_close(copied, torch.full_like(copied, 4.0))
    for name, _ in momentum.named_parameters():
        assert (online[name] == 10.0).all()


def test_an_update_allocates_nothing(small_model: CFACK) -> None:
    assert small_model.momentum is not None
    before = [copied.data_ptr() for copied in small_model.momentum.parameters()]
    small_model.momentum.update(small_model, 0.5)
    assert [copied.data_ptr() for copied in small_model.momentum.parameters()] == before


def test_momentum_embeddings_carry_no_gradient(small_model: CFACK) -> None:
    assert small_model.momentum is not None
    ids = torch.tensor([[2, 10, 3]])
    assert not small_model.momentum.embed_image(torch.randn(1, 3, 24, 16)).requires_grad
    assert not small_model.momentum.embed_text(ids, torch.ones_like(ids)).requires_grad
