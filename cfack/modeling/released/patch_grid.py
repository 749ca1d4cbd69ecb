"""How many patches high and wide the images of a released file's vision encoder are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from timm.models.beit import gen_relative_position_index
from torch import Tensor

from cfack.modeling.position_bias import SPECIAL_ROWS, table_rows
from cfack_runtime.errors import CheckpointError

_INDEX = "relative_position_index"
_TABLE = "vision_encoder.blocks.0.attn.relative_position_bias_table"
_PATCHES = "vision_encoder.patch_embed.proj.weight"


def indexed_grid(state: Mapping[str, Tensor]) -> tuple[int, int] | None:
    """The grid (height, width) that the file's own position indices tell; None if it holds none.

    The index of BEiT's attention is a buffer of the released code, (1 + N, 1 + N): which row of the table
    belongs to which pair of tokens. It fixes both sides, which the table's number of rows does not.

    Raises:
        CheckpointError: an index is that of no grid, or two of them differ.
    """
    indices = {key: value for key, value in state.items() if key.endswith(f".{_INDEX}")}
    if not indices:
        return None
    first_key, first = next(iter(indices.items()))
    for key, index in indices.items():
        if not torch.equal(index, first):
            raise CheckpointError(f"{key} differs from {first_key}: the blocks were made for different grids")
    patches = first.shape[0] - 1 if first.dim() == 2 else 0
    # Offsets between patch 0 and the others fall by one along a row and by 2w - 1 from row to row.
    # A single row and a single column have the same index, and no model has such images.
    for height in (side for side in range(2, patches // 2 + 1) if patches % side == 0):
        grid = (height, patches // height)
        if torch.equal(first, gen_relative_position_index(grid)):
            return grid
    raise CheckpointError(
        f"{first_key} {tuple(first.shape)} is no position index of BEiT on any grid of patches"
    )


def source_grid(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> tuple[int, int]:
    """The grid of a file's vision encoder: by its position indices, else its `image_res`, else its table.

    The released codes know square images only, so that a table with the rows of a square grid is one.

    Args:
        state: the file's tensors.
        config: the file's own configuration, or a given one; `image_res` is one side or [height, width] in
            pixels.

    Raises:
        CheckpointError: none of the three tells it, or they contradict each other.
    """
    if _TABLE not in state or state[_TABLE].dim() != 2:
        raise CheckpointError(
            f"missing: {_TABLE}, a table of rows x heads: the file holds no BEiT-v2 encoder"
        )
    rows = state[_TABLE].shape[0]
    grid = indexed_grid(state) or _configured_grid(state, config) or _square_grid(rows)
    if grid is None:
        raise CheckpointError(
            f"{_TABLE} has {rows} rows, which no square grid has and more than one other may have; give the "
            'image size with --config FILE.json: {"image_res": [height, width]} in pixels'
        )
    if table_rows(grid) != rows:
        raise CheckpointError(
            f"{_TABLE} has {rows} rows, but the file's grid of {grid[0]} x {grid[1]} patches needs "
            f"{table_rows(grid)}"
        )
    return grid


def patch_size(state: Mapping[str, Tensor]) -> int:
    """Side of a patch in pixels.

    Raises:
        CheckpointError: the file holds no patch embedding with square patches.
    """
    if _PATCHES not in state:
        raise CheckpointError(f"missing: {_PATCHES}")
    shape = tuple(state[_PATCHES].shape)
    if len(shape) != 4 or shape[2] != shape[3] or shape[3] == 0:
        raise CheckpointError(f"{_PATCHES} is {shape}; expected (width, 3, side, side)")
    return int(shape[3])


def image_sides(value: Any) -> tuple[Any, Any]:
    """(height, width) out of an `image_res`: one number for both, or a pair."""
    return (value[0], value[1]) if isinstance(value, (list, tuple)) and len(value) == 2 else (value, value)


def _configured_grid(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> tuple[int, int] | None:
    if config.get("image_res") is None:
        return None
    patch = patch_size(state)
    height, width = image_sides(config["image_res"])
    for side in (height, width):
        if not isinstance(side, int) or side <= 0 or side % patch:
            raise CheckpointError(
                f"image_res: expected a multiple of the patch size {patch}, or two of them, "
                f"got {config['image_res']!r}"
            )
    return height // patch, width // patch


def _square_grid(rows: int) -> tuple[int, int] | None:
    side = math.isqrt(max(rows - SPECIAL_ROWS, 0))
    square = side * side == rows - SPECIAL_ROWS and side % 2 == 1
    return ((side + 1) // 2, (side + 1) // 2) if square else None
