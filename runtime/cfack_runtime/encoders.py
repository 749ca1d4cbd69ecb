"""The two encoders as functions of arrays, in batches.

Shapes: B images or captions, H, W pixels, N patches, T text tokens, C token width, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.backends import Backend
from cfack_runtime.errors import BackendError, UsageError
from cfack_runtime.graph_contract import IMAGE_ENCODER, TEXT_ENCODER
from cfack_runtime.manifest import Geometry
from cfack_runtime.tokenizer import CaptionTokenizer, EncodedCaptions

FloatArray = NDArray[np.floating[Any]]

IMAGE_BATCH = 8
"""Images read and encoded together; on a CPU the graph gets fewer at once, see `images_per_call`."""
_CPU_IMAGE_VALUES = 1 << 20
TEXT_BATCH = 64
_PADDING_SHARE = 8
_PADDING_FREE = 64
"""A batch of captions ends where padding would exceed an eighth of its tokens, and 64 tokens: fewer cost less
than another pass over the weights."""


PAIR_BATCH = 16
_PAIR_VALUES_ON_CPU = 14 << 20
_PAIR_VALUES_ON_GPU = 32 << 20
_MAX_PAIRS = 256


def pair_batch(values_per_image: int, device: str = "cpu") -> int:
    """Pairs per call of the re-ranker: as many as keep its image tokens near 56 MB in float32, 128 on a GPU.

    At base size that gives 33 pairs on a CPU and 75 on a GPU, where launching the operators of a call takes
    as long for few pairs as for many. On a CPU each call reads all weights: 128 candidates in calls of 33
    took 0.95 of the time of calls of 9 on two cores of an AMD EPYC with nothing beside, and in `int8-cpu` 0.8
    where others used the memory; larger calls gained nothing. Small models are not slowed down by many small
    calls either.

    Args:
        values_per_image: (1+N) * C.
        device: "cpu", or a GPU.
    """
    most = _PAIR_VALUES_ON_CPU if device == "cpu" else _PAIR_VALUES_ON_GPU
    return max(1, min(_MAX_PAIRS, most // values_per_image))


def images_per_call(geometry: Geometry) -> int:
    """Images that a graph of the image encoder gets at once on a CPU.

    Each call reads all weights, from memory that other programs may be using: one base-size image a call
    took 1.0 to 1.35 of the time of two in `int8-cpu` on an AMD EPYC that was shared. Many lose what one layer
    leaves to the next in the CPU's caches: 8 at once took 1.08 of the time of 8 times one in `fp32` on an
    Intel Xeon. Small models would be slowed down by calls.
    """
    values = geometry.image_token_count * geometry.image_token_width
    return max(1, min(IMAGE_BATCH, _CPU_IMAGE_VALUES // values))


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
        per_call: images that the graph gets at once at most; None: as many as a batch has.
    """

    def __init__(self, backend: Backend, geometry: Geometry, per_call: int | None = None) -> None:
        self.geometry = geometry
        self._backend = backend
        self._per_call = per_call

    def encode(self, pixels: NDArray[np.uint8], batch_size: int = IMAGE_BATCH) -> EncodedImages:
        """Encode images.

        Args:
            pixels: (B, H, W, 3) RGB, already resized; see `cfack_runtime.images.resize_image`.
            batch_size: images per call of the graph at most.

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
        require_positive(batch_size)
        batch_size = min(batch_size, self._per_call or batch_size)
        parts = [self._run(pixels[i : i + batch_size]) for i in range(0, len(pixels), batch_size)]
        if len(parts) == 1:  # tokens are large: a copy of those of 32 images took a third of a GPU's time
            return parts[0]
        return EncodedImages(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _run(self, pixels: NDArray[np.uint8]) -> EncodedImages:
        output = self._backend.run({"pixels": np.ascontiguousarray(pixels)})
        require_finite(output["image_embedding"], IMAGE_ENCODER)
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
        require_positive(batch_size)
        lengths = mask.sum(axis=1)
        order = np.argsort(lengths, kind="stable")  # the order of the buckets
        embeddings: list[NDArray[Any]] = []
        tokens: list[NDArray[Any]] = []
        for rows in length_buckets(lengths, batch_size):
            longest = int(lengths[rows].max())
            feed = {"input_ids": ids[rows, :longest], "attention_mask": mask[rows, :longest]}
            output = self._backend.run({name: np.ascontiguousarray(value) for name, value in feed.items()})
            require_finite(output["text_embedding"], TEXT_ENCODER)
            embeddings.append(output["text_embedding"])
            tokens.append(_pad(output["text_tokens"], feed["attention_mask"], int(lengths.max())))
        back = np.argsort(order, kind="stable")
        return EncodedTexts(
            np.concatenate(embeddings)[back], np.concatenate(tokens)[back], mask[:, : int(lengths.max())]
        )


def _pad(tokens: NDArray[Any], mask: NDArray[np.int64], length: int) -> NDArray[Any]:
    """Bring tokens (B, t, C) to (B, length, C), with zeros on padding."""
    padded = np.zeros((len(tokens), length, tokens.shape[2]), dtype=tokens.dtype)
    padded[:, : tokens.shape[1]] = np.where(mask[:, :, None] == 1, tokens, 0)
    return padded


def length_buckets(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Put captions of similar length into batches, shortest first.

    Args:
        lengths: (B,) tokens of each caption.
        batch_size: captions in a batch at most.

    Returns:
        Rows of each batch; together every row once, in the order of a stable sort by length.
    """
    order = np.argsort(lengths, kind="stable")
    buckets: list[NDArray[np.int64]] = []
    start = tokens = 0
    for end, row in enumerate(order):
        length, size = int(lengths[row]), end - start
        padding = size * length - tokens
        if size == batch_size or padding > max(_PADDING_FREE, tokens // _PADDING_SHARE):
            buckets.append(order[start:end])
            start, tokens = end, 0
        tokens += length
    return [*buckets, order[start:]] if len(order) else []


def require_positive(batch_size: int) -> None:
    """Raise UsageError for a batch of nothing."""
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}")


def require_finite(values: NDArray[Any], graph: str) -> None:
    """Raise BackendError where a graph's output is not finite; the message names the row."""
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise BackendError(f"{graph}: output of row {row} is not finite; the graph is broken, export again")
