"""The re-ranker as a function of arrays: pairs, one text with many images, one image with many texts.

Shapes: B pairs, N patches, T text tokens, C token width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.backends import Backend
from cfack_runtime.encoders import PAIR_BATCH, FloatArray, require_finite, require_positive
from cfack_runtime.errors import UsageError
from cfack_runtime.graph_contract import RERANKER
from cfack_runtime.half import as_type


class Reranker:
    """Pairs of a text and an image to match logits.

    Args:
        pairs: a `reranker` graph.
        one_text: its rewrite for one text with many images; None: `pairs` does it.
        one_image: its rewrite for one image with many texts; None: `pairs` does it.
    """

    def __init__(
        self, pairs: Backend, one_text: Backend | None = None, one_image: Backend | None = None
    ) -> None:
        self._pairs = pairs
        self._one_text = one_text
        self._one_image = one_image

    @property
    def shares_images(self) -> bool:
        """Whether an image's keys and values are computed once for many texts."""
        return self._one_image is not None

    def match(
        self,
        text_tokens: FloatArray,
        mask: NDArray[np.int64],
        image_tokens: FloatArray,
        batch_size: int = PAIR_BATCH,
    ) -> NDArray[np.float32]:
        """Score pairs; logit 1 is the official score.

        Args:
            text_tokens: (B, T, C), or (1, T, C) to match one text with B images.
            mask: (B, T) or (1, T).
            image_tokens: (B, 1+N, C), or (1, 1+N, C) to match one image with B texts. Any float type; a
                batch at a time is converted to the graph's own, so this may be a large memory-mapped file.
            batch_size: pairs per call of the graph.

        Returns:
            (B, 2).

        Raises:
            UsageError: the numbers of texts and images do not fit, or there is none.
            BackendError: the graph fails, or a logit is not finite.
        """
        texts, images = len(text_tokens), len(image_tokens)
        if len(mask) != texts or not texts or not images or (texts != images and 1 not in (texts, images)):
            raise UsageError(
                f"{texts} texts, {len(mask)} masks and {images} images do not make pairs; expected equal "
                "numbers, one text with many images, or one image with many texts"
            )
        require_positive(batch_size)
        backend = self._backend(texts, images)
        dtypes = {spec.name: np.dtype(spec.dtype) for spec in backend.inputs}
        logits = []
        for start in range(0, max(texts, images), batch_size):
            feed = {
                "text_tokens": _rows(text_tokens, start, batch_size),
                "attention_mask": _rows(mask, start, batch_size),
                "image_tokens": _rows(image_tokens, start, batch_size),
            }
            output = backend.run({name: as_type(value, dtypes[name]) for name, value in feed.items()})
            require_finite(output["match_logits"], RERANKER)
            logits.append(output["match_logits"])
        return np.concatenate(logits)

    def _backend(self, texts: int, images: int) -> Backend:
        if texts == 1 and self._one_text is not None:
            return self._one_text
        if images == 1 and self._one_image is not None:
            return self._one_image
        return self._pairs


def _rows(array: NDArray[Any], start: int, count: int) -> NDArray[Any]:
    """The rows of one batch; a single row serves every batch."""
    return array if len(array) == 1 else array[start : start + count]
