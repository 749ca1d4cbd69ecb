import math

import pytest
import torch

from cfack.losses import identity_loss


def test_the_cross_entropies_of_the_views_are_added() -> None:
    sure, unsure = torch.tensor([[2.0, 0.0]]), torch.zeros(1, 2)
    loss = identity_loss([sure, unsure], torch.tensor([0]))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)) + math.log(2))
