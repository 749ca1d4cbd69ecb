import math

import pytest
import torch

from cfack.losses import masked_language_loss, select_positions


def test_tokens_are_picked_at_their_positions() -> None:
    hidden = torch.arange(12.0).view(2, 3, 2)
    picked = select_positions(hidden, torch.tensor([[2, 0], [1, 1]]))
    assert picked.tolist() == [[[4.0, 5.0], [0.0, 1.0]], [[8.0, 9.0], [8.0, 9.0]]]


def test_the_mean_goes_over_what_is_not_ignored() -> None:
    logits = torch.tensor([[[0.0, 2.0], [50.0, 0.0]], [[0.0, 0.0], [0.0, 50.0]]])
    labels = torch.tensor([[1, -100], [0, -100]])
    expected = (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    assert masked_language_loss(logits, labels).item() == pytest.approx(expected)


def test_nothing_to_predict_costs_nothing() -> None:
    logits = torch.randn(1, 2, 5, requires_grad=True)
    loss = masked_language_loss(logits, torch.full((1, 2), -100))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()
