"""A gallery's embeddings as they lie on the disk, in parts, with rows that do not count.

Shapes: G gallery images, K places, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class EmbeddingPart:
    """Rows that lie together, and which of them count."""

    values: FloatArray
    """(all rows, D), float32 or float16; may be mapped."""
    rows: NDArray[np.int64]
    """Those that count, ascending."""


@dataclass(frozen=True)
class Block:
    """Some embeddings, in gallery order."""

    values: FloatArray
    """(B, D), as they are stored."""
    picked: NDArray[np.int64] | None
    """The rows of `values` that are meant, ascending; None: all."""
    places: NDArray[np.int64]
    """Their places in the gallery."""


class EmbeddingParts:
    """(G, D) embeddings that are never put together; places count through all parts.

    Args:
        parts: at least none.
        width: D.
    """

    def __init__(self, parts: Sequence[EmbeddingPart], width: int) -> None:
        self.parts = tuple(parts)
        self.starts = np.cumsum([0, *(len(part.rows) for part in parts)])
        self.shape = (int(self.starts[-1]), width)
        self.ndim = 2

    @classmethod
    def of(cls, array: FloatArray) -> EmbeddingParts:
        """One array (G, D) as one part."""
        return cls([EmbeddingPart(array, np.arange(len(array)))], array.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def byte_count(self) -> int:
        """Bytes of all parts, rows that do not count included."""
        return sum(part.values.nbytes for part in self.parts)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("embeddings in parts become one array by copying only")
        return self.rows(np.arange(len(self))).astype(dtype or np.float32, copy=False)

    def rows(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """The embeddings (K, D) at (K,) places, in that order."""
        found = np.empty((len(places), self.shape[1]), np.float32)
        owners = np.searchsorted(self.starts, places, side="right") - 1
        for owner in np.unique(owners):
            mine, part = owners == owner, self.parts[owner]
            found[mine] = part.values[part.rows[places[mine] - self.starts[owner]]]
        return found

    def blocks(self, size: int, rows: NDArray[np.int64] | None = None, *, sparse: int = 4) -> Iterator[Block]:
        """Go through the embeddings once, without copying more than a block of them.

        Args:
            size: most rows of a block's `values`.
            rows: the places wanted, ascending; None: all.
            sparse: where fewer than one row in so many is wanted, the wanted ones are copied together.
        """
        for part, start, end in zip(self.parts, self.starts, self.starts[1:], strict=False):
            if rows is None:
                yield from _part_blocks(part, np.arange(start, end), part.rows, size, sparse)
            else:
                places = rows[np.searchsorted(rows, start) : np.searchsorted(rows, end)]
                yield from _part_blocks(part, places, part.rows[places - start], size, sparse)


def _part_blocks(
    part: EmbeddingPart, places: NDArray[np.int64], wanted: NDArray[np.int64], size: int, sparse: int
) -> Iterator[Block]:
    """Blocks of one part; `wanted` are its rows, ascending, and `places` where they are in the gallery."""
    for first in range(0, len(part.values), size):
        window = slice(*np.searchsorted(wanted, (first, first + size)))
        mine, span = wanted[window], part.values[first : first + size]
        if len(mine) == len(span):
            yield Block(span, None, places[window])
        elif len(mine) * sparse >= len(span):
            yield Block(span, mine - first, places[window])
        elif len(mine):
            yield Block(part.values[mine], None, places[window])
