import math

import pytest
import torch

from cfack.losses import contrastive_loss, diagonal_targets, identity_targets, similarity_logits


def test_identity_targets_share_a_row_among_the_same_person() -> None:
    targets = identity_targets(torch.tensor([7, 3, 7]))
    assert targets.tolist() == [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]


def test_contrastive_loss_of_two_orthogonal_pairs_is_the_hand_computed_one() -> None:
    # Logits [[2, 0], [0, 2]]: each row's loss is log(e^2 + 1) - 2, in both directions.
    embeddings = torch.eye(2)
    loss = contrastive_loss(embeddings, embeddings, diagonal_targets(2, embeddings.device), torch.tensor(0.5))
    assert loss.item() == pytest.approx(math.log(math.exp(2) + 1) - 2)


def test_contrastive_loss_averages_both_directions() -> None:
    # Logits [[1, 1], [0, 0]]: both rows are undecided, log 2; the columns give log(1 + e^-1) and log(1 + e).
    a, b = torch.tensor([[1.0], [0.0]]), torch.tensor([[1.0], [1.0]])
    loss = contrastive_loss(a, b, diagonal_targets(2, a.device), torch.tensor(1.0))
    columns = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2
    assert loss.item() == pytest.approx((math.log(2) + columns) / 2)


def test_contrastive_loss_with_one_identity_asks_for_uniform_rows() -> None:
    # All four pairs are equally right, so the entropy of two equal choices is the least possible loss.
    targets = identity_targets(torch.tensor([0, 0]))
    same = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert contrastive_loss(same, same, targets, torch.tensor(0.1)).item() == pytest.approx(math.log(2))
    assert contrastive_loss(torch.eye(2), torch.eye(2), targets, torch.tensor(0.1)).item() > 2


def test_the_temperature_learns() -> None:
    temperature = torch.tensor(0.5, requires_grad=True)
    contrastive_loss(
        torch.eye(2), torch.eye(2), diagonal_targets(2, torch.device("cpu")), temperature
    ).backward()
    # d/dt of log(e^(1/t) + 1) - 1/t at t = 0.5, which is (1 - sigmoid(2)) / t^2.
    assert temperature.grad is not None
    assert temperature.grad.item() == pytest.approx(4 / (1 + math.exp(2)))


def test_logits_stay_in_float32_under_autocast() -> None:
    a = torch.nn.functional.normalize(torch.arange(1.0, 33.0)[None], dim=-1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = similarity_logits(a, a, torch.tensor(0.07))
    assert logits.dtype == torch.float32
    assert logits.item() == pytest.approx(1 / 0.07, rel=1e-6)
