import torch

from cfack.losses import sample_hard_negatives


def drawn(hardness: float) -> float:
    """Share of draws that take the one similar negative among nine."""
    torch.manual_seed(0)
    query = torch.tensor([[1.0, 0.0]]).repeat(2000, 1)
    candidates = torch.tensor([[1.0, 0.0]] + [[0.0, 1.0]] * 8)
    negatives = sample_hard_negatives(
        query,
        query,
        torch.zeros(2000, dtype=torch.long),
        candidates,
        candidates,
        torch.arange(1, 10),
        torch.tensor(0.1),
        hardness,
    )
    return float((negatives.image == 0).float().mean())


def test_full_hardness_draws_the_similar_one() -> None:
    assert drawn(1.0) > 0.99


def test_no_hardness_draws_uniformly() -> None:
    assert abs(drawn(0.0) - 1 / 9) < 0.03
