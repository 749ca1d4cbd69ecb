"""Which pairs of a batch of queries are matched image by image, and which query by query.

Shapes: Q queries, P pairs, K candidates of a query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.encoders import pair_batch
from cfack_runtime.manifest import Geometry

_HEAD_WIDTH = 64
_CALL = 20_000_000
"""Multiplications that take about as long as one call of a small graph."""


@dataclass(frozen=True)
class PairCost:
    """What pairs cost, and how many go into one call.

    Costs are multiplications of one layer of the re-ranker; what both ways have in common is left out.

    By image, keys and values are computed once, 2 (1+N) C C', and a text of T tokens attends to them with
    2 T (1+N) C. By query, with the key and value projections folded into the text's side, a pair costs
    2 T (1+N) H C' + 2 T C C', H heads; not folded, it computes its own keys and values.
    """

    tokens: int
    """1 + N."""
    width: int
    """C, of the text."""
    image_width: int
    """C'."""
    folded: bool
    """Whether there is a graph for one text, which folds the projections."""
    device: str = "cpu"
    """Where the graphs run: "cpu", or a GPU."""

    @classmethod
    def of(cls, geometry: Geometry, *, folded: bool, device: str = "cpu") -> PairCost:
        """The cost of a model whose heads are 64 wide, as BERT's are."""
        tokens, width = geometry.image_token_count, geometry.text_token_width
        return cls(tokens, width, geometry.image_token_width, folded, device)

    @property
    def per_call(self) -> int:
        """Pairs that go into one call of the re-ranker at most."""
        return pair_batch(self.tokens * self.image_width, self.device)

    def texts_that_pay(self, length: float) -> float:
        """From how many texts an image is cheaper once for all than once for each.

        Args:
            length: mean T.
        """
        keys = 2 * self.tokens * self.width * self.image_width
        attending = 2 * length * self.tokens * self.width
        heads = max(1, self.width // _HEAD_WIDTH)
        folded = 2 * length * (self.tokens * heads + self.width) * self.image_width
        saved = min(folded - attending, keys) if self.folded else keys
        return (keys + _CALL) / saved if saved > 0 else float("inf")


@dataclass(frozen=True)
class Pairs:
    """All pairs of a batch of queries; query by query, in the order of the candidates."""

    queries: NDArray[np.int64]
    """(P,) rows."""
    images: NDArray[np.int64]
    """(P,) places in the gallery."""

    @classmethod
    def of(cls, candidates: Sequence[NDArray[np.int64]]) -> Pairs:
        """Line up the candidates (K,) of each query; K may differ."""
        counts = [len(places) for places in candidates]
        return cls(
            np.repeat(np.arange(len(candidates)), counts),
            np.concatenate([np.empty(0, np.int64), *candidates]),
        )


@dataclass(frozen=True)
class Plan:
    """Two ways that together take every pair once; a group is an array of places in `Pairs`."""

    by_image: list[NDArray[np.int64]]
    """Of one image each, in the order of the gallery."""
    by_query: list[NDArray[np.int64]]
    """Of one query each; images in the order of the gallery."""


def plan_pairs(pairs: Pairs, texts_that_pay: float) -> Plan:
    """Group pairs: by image where at least so many texts share it, else by query.

    Args:
        pairs: what has to be matched.
        texts_that_pay: see `PairCost`; infinite for a re-ranker that cannot share an image.
    """
    order = np.argsort(pairs.images, kind="stable")
    _, starts, counts = np.unique(pairs.images[order], return_index=True, return_counts=True)
    groups = np.split(order, starts[1:])
    shared = counts >= texts_that_pay
    by_image = [group for group, together in zip(groups, shared, strict=False) if together]
    rest = order[~np.repeat(shared, counts)]  # in the order of the gallery
    rest = rest[np.argsort(pairs.queries[rest], kind="stable")]
    bounds = np.flatnonzero(np.diff(pairs.queries[rest])) + 1
    return Plan(by_image, [group for group in np.split(rest, bounds) if len(group)])
