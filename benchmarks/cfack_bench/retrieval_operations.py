"""The least sums that retrieval takes, and how fast this CPU is at them.

T text tokens, S image tokens, C the widths, H heads. A sum is one multiplication and one addition.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from cfack.config import ModelConfig

_SIDE, _REPEATS = 2048, 8


def multiply_rate() -> float:
    """GFLOP/s of a product of two FP32 matrices of 2048 x 2048 in PyTorch: the best of eight."""
    a = torch.randn(_SIDE, _SIDE)
    best = float("inf")
    for _ in range(_REPEATS):
        began = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - began)
    return 2 * _SIDE**3 / best / 1e9


class LeastOperations:
    """GFLOP of each kind of work, two a sum: of all exact ways that the graphs know, the cheapest.

    Args:
        config: the model.
    """

    def __init__(self, config: ModelConfig) -> None:
        rows, columns = config.vision.grid
        self._config = config
        self._patches = rows * columns
        self._seen = 1 + rows * columns  # S
        self._width, self._image_width = config.text.width, config.vision.width
        self._inner = config.text.intermediate_size

    def caption(self, tokens: int) -> float:
        """Encoding one caption."""
        layers = self._config.text.num_text_layers
        return _gflop(layers * (self._self_attention(tokens, tokens) + self._feed_forward(tokens)))

    def image(self) -> float:
        """Encoding one image."""
        vision, width = self._config.vision, self._image_width
        layer = self._seen * width * (4 * width + 2 * self._seen + 2 * vision.mlp_ratio * width)
        patches = self._patches * 3 * vision.patch_size**2 * width
        return _gflop(vision.depth * layer + patches)

    def one_query(self, tokens: int, candidates: int) -> float:
        """Matching one text with images, each of which only this text looks at."""
        cross = min(self._folded(tokens), self._plain(tokens))
        last = min(self._folded(1), self._plain(1))
        first = self._self_attention(tokens, tokens)  # of the text alone: once for all images
        return _gflop(first + candidates * self._behind_first(tokens, cross, last))

    def many_queries(self, tokens: Sequence[int], candidates: int, images: int) -> float:
        """Matching texts with candidates that they share, keys and values of an image computed once."""
        layers = self._config.text.num_fusion_layers
        total = images * layers * 2.0 * self._seen * self._width * self._image_width
        for count in tokens:
            first = self._self_attention(count, count)
            total += first + candidates * self._behind_first(count, self._attend(count), self._attend(1))
        return _gflop(total)

    def _behind_first(self, tokens: int, cross: float, last: float) -> float:
        """One pair behind the first self-attention, through all layers; of the last, token 0 only."""
        layers = self._config.text.num_fusion_layers - 1
        whole = layers * (cross + self._feed_forward(tokens))
        whole += (layers - 1) * self._self_attention(tokens, tokens)
        return whole + self._self_attention(1, tokens) + last + self._feed_forward(1)

    def _self_attention(self, reading: int, tokens: int) -> float:
        return 2.0 * self._width * (reading * self._width + tokens * self._width + reading * tokens)

    def _feed_forward(self, tokens: int) -> float:
        return 2.0 * tokens * self._width * self._inner

    def _attend(self, tokens: int) -> float:
        """Cross-attention to given keys and values."""
        return 2.0 * tokens * self._width * (self._width + self._seen)

    def _plain(self, tokens: int) -> float:
        return self._attend(tokens) + 2.0 * self._seen * self._width * self._image_width

    def _folded(self, tokens: int) -> float:
        heads = self._config.text.num_heads
        projections = 2.0 * tokens * self._width * (self._width + self._image_width)
        return projections + 2.0 * tokens * heads * self._seen * self._image_width


def _gflop(sums: float) -> float:
    return 2 * sums / 1e9
