import pytest
import torch
from torch import Tensor

from cfack.modeling.position_bias import resize_position_bias, table_rows
from cfack_runtime.errors import CheckpointError

Q_14_TO_24 = 1.0903074  # (1 - q^13) / (1 - q) = 23
Q_LOWEST = 1.01  # where the target is smaller than the source


def progression(terms: int, q: float) -> Tensor:
    """The offsets -(1+q+...), ..., -1, 0, 1, ..., (1+q+...) of one axis."""
    positive = torch.tensor([sum(q**i for i in range(n)) for n in range(1, terms + 1)], dtype=torch.float64)
    return torch.cat([-positive.flip(0), torch.zeros(1, dtype=torch.float64), positive])


def table_of(values: Tensor) -> Tensor:
    """A table of one head from values (2h-1, 2w-1), with three special rows 7, 8, 9."""
    return torch.cat([values.reshape(-1, 1), torch.tensor([[7.0], [8.0], [9.0]], dtype=torch.float64)])


def test_a_table_for_224_pixels_reads_the_published_progression_at_384_pixels() -> None:
    # A spline through points on a line is the line: reading it at offset t gives t.
    heights = progression(13, Q_14_TO_24)[:, None].expand(27, 27)
    resized = resize_position_bias(table_of(heights), (14, 14), (24, 24))
    assert resized.shape == (2212, 1)
    expected = torch.arange(-23, 24, dtype=torch.float64)
    expected[[0, -1]] = torch.tensor([-22.99993, 22.99993], dtype=torch.float64)  # the outermost known offset
    torch.testing.assert_close(resized[:-3].reshape(47, 47)[:, 5], expected, atol=1e-4, rtol=0)


def test_each_axis_has_a_progression_of_its_own() -> None:
    heights, widths = progression(13, Q_14_TO_24), progression(13, Q_LOWEST)
    values = heights[:, None] + 100 * widths[None, :]
    resized = resize_position_bias(table_of(values), (14, 14), (24, 8))[:-3].reshape(47, 15)
    rows, columns = torch.arange(-22, 23.0).double(), torch.arange(-7, 8.0).double()
    torch.testing.assert_close(resized[1:-1], rows[:, None] + 100 * columns[None, :], atol=5e-3, rtol=0)


def test_an_axis_that_keeps_its_length_keeps_its_values() -> None:
    values = torch.randn(1, 7, dtype=torch.float64, generator=torch.manual_seed(0)).expand(7, 7)
    resized = resize_position_bias(table_of(values), (4, 4), (6, 4))[:-3].reshape(11, 7)
    torch.testing.assert_close(resized, values[:1].expand(11, 7))


def test_the_rows_of_the_class_token_are_kept() -> None:
    table = torch.randn(table_rows((4, 4)), 3)
    resized = resize_position_bias(table, (4, 4), (5, 3))
    assert resized.shape == (table_rows((5, 3)), 3)
    assert resized.dtype == torch.float32
    assert torch.equal(resized[-3:], table[-3:])


def test_heads_do_not_mix() -> None:
    table = torch.randn(table_rows((4, 4)), 2, generator=torch.manual_seed(0))
    both = resize_position_bias(table, (4, 4), (6, 6))
    alone = resize_position_bias(table[:, 1:], (4, 4), (6, 6))
    torch.testing.assert_close(both[:, 1:], alone)


@pytest.mark.parametrize("source", [(2, 2), (3, 2)])
def test_grids_too_small_for_a_cubic_spline_take_a_lower_degree(source: tuple[int, int]) -> None:
    table = torch.full((table_rows(source), 1), 4.0)
    torch.testing.assert_close(resize_position_bias(table, source, (5, 4)), torch.full((66, 1), 4.0))


def test_the_same_grid_returns_the_table_itself() -> None:
    table = torch.randn(52, 4)
    assert resize_position_bias(table, (4, 4), (4, 4)) is table


def test_a_table_of_another_grid_is_refused() -> None:
    with pytest.raises(CheckpointError, match="52 rows does not belong to a grid of 5 x 3 patches.* has 48"):
        resize_position_bias(torch.zeros(52, 4), (5, 3), (6, 6))


def test_a_grid_of_one_patch_along_an_axis_is_refused() -> None:
    with pytest.raises(CheckpointError, match="4 x 1 patches has no offsets along one axis"):
        resize_position_bias(torch.zeros(10, 4), (4, 1), (6, 6))
