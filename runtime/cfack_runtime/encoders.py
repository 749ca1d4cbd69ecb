"""The three graphs as functions of arrays, in batches.

Shapes: B images, captions or pairs, H, W pixels, N patches, T text tokens, C token width, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.backends import Backend
from cfack_runtime.errors import BackendError, UsageError
from cfack_runtime.graph_contract import IMAGE_ENCODER, RERANKER, TEXT_ENCODER
from cfack_runtime.manifest import Geometry
from cfack_runtime.tokenizer import CaptionTokenizer, EncodedCaptions

FloatArray = NDArray[np.floating[Any]]

IMAGE_BATCH = 8
"""Images per call. More is no faster on a CPU, and takes 90 MB an image at base size."""
TEXT_BATCH = 64
PAIR_BATCH = 16
_PAIR_VALUES = 8 << 20
_MAX_PAIRS = 256


def pair_batch(values_per_image: int) -> int:
    """Pairs per call of the re-ranker: as many as keep its image tokens near 32 MB in float32.

    Args:
        values_per_image: (1+N) * C; at base size that gives 18 pairs, and small models are not slowed down
            by many small calls.
    """
    return max(1, min(_MAX_PAIRS, _PAIR_VALUES // values_per_image))


class EncodedImages(NamedTuple):
    """What the image encoder makes of B images."""

    embedding: NDArray[np.float32]
    """(B, D), unit length."""
    tokens: FloatArray
    """(B, 1+N, C), float32, or float16 if the graph says so."""


class EncodedTexts(NamedTuple):
    """What the text encoder makes of B captions."""

    embedding: NDArray[np.float32]
    """(B, D), unit length."""
    tokens: FloatArray
    """(B, T, C), zero on padding; T is the length of the longest of the B captions."""
    mask: NDArray[np.int64]
    """(B, T): 1 on tokens, 0 on padding."""


class ImageEncoder:
    """Pixels to embeddings and tokens.

    Args:
        backend: an `image_encoder` graph.
        geometry: the sizes of its model.
    """

    def __init__(self, backend: Backend, geometry: Geometry) -> None:
        self.geometry = geometry
        self._backend = backend

    def encode(self, pixels: NDArray[np.uint8], batch_size: int = IMAGE_BATCH) -> EncodedImages:
        """Encode images.

        Args:
            pixels: (B, H, W, 3) RGB, already resized; see `cfack_runtime.images.resize_image`.
            batch_size: images per call of the graph.

        Raises:
            UsageError: another shape or type.
            BackendError: the graph fails, or an embedding is not finite.
        """
        expected = (self.geometry.image_height, self.geometry.image_width, 3)
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != expected or not len(pixels):
            raise UsageError(
                f"pixels are {pixels.dtype} {pixels.shape}, expected uint8 (B, {expected[0]}, {expected[1]}, "
                "3) with B of at least 1"
            )
        _require_positive(batch_size)
        parts = [self._run(pixels[i : i + batch_size]) for i in range(0, len(pixels), batch_size)]
        return EncodedImages(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _run(self, pixels: NDArray[np.uint8]) -> EncodedImages:
        output = self._backend.run({"pixels": np.ascontiguousarray(pixels)})
        _require_finite(output["image_embedding"], IMAGE_ENCODER)
        return EncodedImages(output["image_embedding"], output["image_tokens"])


class TextEncoder:
    """Captions to embeddings and tokens.

    Args:
        backend: a `text_encoder` graph.
        tokenizer: the tokenizer of its bundle.
    """

    def __init__(self, backend: Backend, tokenizer: CaptionTokenizer) -> None:
        self.tokenizer = tokenizer
        self._backend = backend

    def encode(self, captions: Sequence[str], batch_size: int = TEXT_BATCH) -> EncodedTexts:
        """Tokenize and encode sentences; see `encode_ids`.

        Raises:
            DataError: a sentence is empty; the message names its index.
        """
        return self.encode_ids(self.tokenizer.encode(captions), batch_size)

    def encode_ids(self, captions: EncodedCaptions, batch_size: int = TEXT_BATCH) -> EncodedTexts:
        """Encode tokenized sentences in their real length.

        Captions of similar length share a batch, which is as long as its longest.

        Args:
            captions: B sentences as ids and mask.
            batch_size: captions per call of the graph.

        Raises:
            UsageError: there is no caption.
            BackendError: the graph fails, or an embedding is not finite.
        """
        ids, mask = captions.input_ids, captions.attention_mask
        if not len(ids):
            raise UsageError("there is no caption to encode")
        _require_positive(batch_size)
        lengths = mask.sum(axis=1)
        order = np.argsort(lengths, kind="stable")
        embeddings: list[NDArray[Any]] = []
        tokens: list[NDArray[Any]] = []
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            longest = int(lengths[rows].max())
            feed = {"input_ids": ids[rows, :longest], "attention_mask": mask[rows, :longest]}
            output = self._backend.run({name: np.ascontiguousarray(value) for name, value in feed.items()})
            _require_finite(output["text_embedding"], TEXT_ENCODER)
            embeddings.append(output["text_embedding"])
            tokens.append(_pad(output["text_tokens"], feed["attention_mask"], int(lengths.max())))
        back = np.argsort(order, kind="stable")
        return EncodedTexts(
            np.concatenate(embeddings)[back], np.concatenate(tokens)[back], mask[:, : int(lengths.max())]
        )


class Reranker:
    """Pairs of a text and an image to match logits.

    Args:
        backend: a `reranker` graph.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._dtypes = {spec.name: np.dtype(spec.dtype) for spec in backend.inputs}

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
        _require_positive(batch_size)
        logits = [
            self._run(
                _rows(text_tokens, start, batch_size),
                _rows(mask, start, batch_size),
                _rows(image_tokens, start, batch_size),
            )
            for start in range(0, max(texts, images), batch_size)
        ]
        return np.concatenate(logits)

    def _run(
        self, text_tokens: FloatArray, mask: NDArray[np.int64], image_tokens: FloatArray
    ) -> NDArray[np.float32]:
        feed = {"text_tokens": text_tokens, "attention_mask": mask, "image_tokens": image_tokens}
        output = self._backend.run(
            {name: np.ascontiguousarray(value, dtype=self._dtypes[name]) for name, value in feed.items()}
        )
        logits: NDArray[np.float32] = output["match_logits"]
        _require_finite(logits, RERANKER)
        return logits


def _rows(array: NDArray[Any], start: int, count: int) -> NDArray[Any]:
    """The rows of one batch; a single row serves every batch."""
    return array if len(array) == 1 else array[start : start + count]


def _pad(tokens: NDArray[Any], mask: NDArray[np.int64], length: int) -> NDArray[Any]:
    """Bring tokens (B, t, C) to (B, length, C), with zeros on padding."""
    padded = np.zeros((len(tokens), length, tokens.shape[2]), dtype=tokens.dtype)
    padded[:, : tokens.shape[1]] = np.where(mask[:, :, None] == 1, tokens, 0)
    return padded


def _require_positive(batch_size: int) -> None:
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}")


def _require_finite(values: NDArray[Any], graph: str) -> None:
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise BackendError(f"{graph}: output of row {row} is not finite; the graph is broken, export again")
