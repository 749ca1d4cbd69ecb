import torch
from torch import Tensor

from cfack.modeling import CFACK

IDS = torch.tensor([[2, 10, 11, 3], [2, 12, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def gradients(model: CFACK, images: Tensor, cnn_views: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    image, text = model.encode_image(images), model.encode_text(IDS, MASK)
    assert model.cnn_branch is not None
    cnn = model.cnn_branch(cnn_views)
    (model.match(text.tokens, MASK, image.tokens).square().sum() + cnn.square().sum()).backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def test_recomputing_activations_changes_no_gradient(small_model: CFACK) -> None:
    small_model.train()
    images, cnn_views = torch.randn(2, 3, 24, 16), torch.randn(2, 3, 32, 32)
    kept = gradients(small_model, images, cnn_views)
    small_model.set_gradient_checkpointing(True)
    recomputed = gradients(small_model, images, cnn_views)
    assert kept.keys() == recomputed.keys()
    for name, gradient in kept.items():
        torch.testing.assert_close(recomputed[name], gradient, msg=lambda m, n=name: f"{n}: {m}")


def test_fewer_activations_are_kept(small_model: CFACK) -> None:
    small_model.train()
    images, sizes = torch.randn(2, 3, 24, 16), []
    for enabled in (False, True):
        small_model.set_gradient_checkpointing(enabled)
        kept = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal kept
            kept += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            text, image = small_model.encode_text(IDS, MASK), small_model.encode_image(images)
            small_model.match(text.tokens, MASK, image.tokens)
        sizes.append(kept)
    assert sizes[1] < sizes[0] / 2
