import pytest
import torch
from torch import Tensor

from cfack.losses import complete_aggregation, with_knowledge_conversion


def test_six_pairs_of_four_sets_are_averaged() -> None:
    def product(a: Tensor, b: Tensor) -> Tensor:
        return a * b

    # 1*2 + 1*3 + 1*5 + 2*3 + 2*5 + 3*5 = 41
    sets = (torch.tensor(float(n)) for n in (1, 2, 3, 5))
    assert complete_aggregation(product, *sets).item() == pytest.approx(41 / 6)


def test_knowledge_conversion_is_half_a_seventh_pair() -> None:
    # The published form: (sum of six + 0.5 * conversion) / 6.5
    total = with_knowledge_conversion(torch.tensor(2.0), 6, torch.tensor(15.0), 0.5)
    assert total.item() == pytest.approx((12 + 7.5) / 6.5)
