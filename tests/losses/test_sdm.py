import math

import pytest
import torch

from cfack.losses import diagonal_targets, identity_targets, sdm_loss


def test_a_prediction_equal_to_the_targets_costs_nothing() -> None:
    same = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    targets = identity_targets(torch.tensor([4, 4]))
    assert sdm_loss(same, same, targets, torch.tensor(0.02)).item() == pytest.approx(0.0, abs=1e-6)


def test_an_undecided_prediction_costs_the_hand_computed_divergence() -> None:
    # p = (1/2, 1/2) against q = (1, 0) + 1e-8, in both directions: 2 (log 1/2 - (0 + log 1e-8) / 2).
    zeros = torch.zeros(2, 3)
    loss = sdm_loss(zeros, zeros, diagonal_targets(2, zeros.device), torch.tensor(1.0))
    assert loss.item() == pytest.approx(2 * (math.log(0.5) - math.log(1e-8) / 2), rel=1e-6)


def test_the_temperature_does_not_learn() -> None:
    temperature = torch.tensor(0.5, requires_grad=True)
    a = torch.eye(2, requires_grad=True)
    sdm_loss(a, torch.eye(2), diagonal_targets(2, a.device), temperature).backward()
    assert temperature.grad is None
    assert a.grad is not None
