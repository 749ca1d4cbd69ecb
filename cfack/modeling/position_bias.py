"""Relative-position bias tables carried over to another patch grid.

A table has a row for each offset between two patches of an h x w grid, (2h - 1)(2w - 1) of them in row order,
then three rows that no offset decides: class token to patch, patch to class token, class token to itself.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline
from torch import Tensor

from cfack_runtime.errors import CheckpointError

SPECIAL_ROWS = 3
"""Rows at the end of a table that belong to the class token."""

_LOWEST_RATIO, _HIGHEST_RATIO, _RATIO_TOLERANCE = 1.01, 1.5, 1e-6


def table_rows(grid: tuple[int, int]) -> int:
    """Rows of the table of a grid of (height, width) patches."""
    return (2 * grid[0] - 1) * (2 * grid[1] - 1) + SPECIAL_ROWS


def resize_position_bias(table: Tensor, source_grid: tuple[int, int], target_grid: tuple[int, int]) -> Tensor:
    """Interpolate a table for another grid, each axis on its own.

    As in BEiT: the known offsets are spread along an axis in a geometric progression that starts with steps
    of one patch and ends at the largest offset of the target, so that near offsets keep their meaning and far
    ones are stretched; a cubic spline through them is read at the whole offsets of the target. A smaller
    target keeps the near offsets.

    Args:
        table: (R, heads).
        source_grid: (height, width) in patches that R belongs to.
        target_grid: (height, width) in patches that is wanted.

    Returns:
        (R', heads) in the dtype of `table`. The class token's rows are kept as they are.

    Raises:
        CheckpointError: R does not belong to `source_grid`, or a grid that must be interpolated is one patch
            high or wide.
    """
    if table.shape[0] != table_rows(source_grid):
        raise CheckpointError(
            f"a relative-position table of {table.shape[0]} rows does not belong to a grid of "
            f"{source_grid[0]} x {source_grid[1]} patches, whose table has {table_rows(source_grid)}"
        )
    if source_grid == target_grid:
        return table
    if 1 in source_grid:
        raise CheckpointError(
            f"a grid of {source_grid[0]} x {source_grid[1]} patches has no offsets along one axis to "
            "interpolate"
        )
    sides = [2 * side - 1 for side in source_grid]
    places = [_source_offsets(s, t) for s, t in zip(source_grid, target_grid, strict=True)]
    wanted = [np.arange(1 - side, side, dtype=np.float64) for side in target_grid]
    degree = [min(3, side - 1) for side in sides]
    values = table[:-SPECIAL_ROWS].double().cpu().numpy().reshape(*sides, -1)  # (2h-1, 2w-1, heads)
    resized = [
        RectBivariateSpline(*places, values[:, :, head], kx=degree[0], ky=degree[1])(*wanted).ravel()
        for head in range(table.shape[1])
    ]
    patches = torch.from_numpy(np.stack(resized, axis=1)).to(table)
    return torch.cat([patches, table[-SPECIAL_ROWS:]])


def _source_offsets(source: int, target: int) -> NDArray[np.float64]:
    """Where the 2 * source - 1 offsets of one axis lie among those of the target."""
    ratio = 1.0 if source == target else _progression_ratio(source - 1, target - 1)
    positive = np.cumsum(ratio ** np.arange(source - 1))
    return np.concatenate([-positive[::-1], [0.0], positive])


def _progression_ratio(steps: int, reach: int) -> float:
    """The q whose progression 1 + q + ... of `steps` terms ends at `reach`, by bisection.

    The last midpoint is returned even where the interval holds no solution, so that q stays within its
    bounds, as in the released code.
    """
    low, high = _LOWEST_RATIO, _HIGHEST_RATIO
    ratio = low
    while high - low > _RATIO_TOLERANCE:
        ratio = (low + high) / 2.0
        if (1.0 - ratio**steps) / (1.0 - ratio) > reach:
            high = ratio
        else:
            low = ratio
    return ratio
