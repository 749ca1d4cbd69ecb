"""The part of a split that the gate measures on: whole identities, at most as much as can be paid for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack.data.annotations import Split
from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.manifest import Geometry
from cfack_runtime.tokenizer import CaptionTokenizer

_CHEAP_TOKENS = 1 << 14
"""Values of an image's tokens up to which a whole split is measured: 147 x 128 is still small."""


@dataclass(frozen=True)
class SampleSize:
    """How much is measured; None: all of it."""

    images: int | None = None
    queries: int | None = None
    rerank: int = 128
    """Candidates per query."""
    reranked_queries: int | None = None
    """Queries, the first of them, whose candidates are re-ranked."""

    def __post_init__(self) -> None:
        numbers = {name: value for name, value in asdict(self).items() if value is not None}
        for name, value in numbers.items():
            if value < (0 if name == "rerank" else 1):
                raise UsageError(f"{name} is {value}, expected a positive number")


def default_size(geometry: Geometry) -> SampleSize:
    """What a CPU does in two minutes: the test split of CUHK-PEDES whole for a small model, else a part.

    At 384 x 384 pixels, 12 + 12 + 6 layers and two cores an image costs 0.6 s, a caption 27 ms and a pair
    70 ms: 96 images take a minute, and so do 48 queries with 16 candidates.
    """
    if geometry.image_token_count * geometry.image_token_width <= _CHEAP_TOKENS:
        return SampleSize(images=4000, queries=8000, rerank=64)
    return SampleSize(images=96, queries=256, rerank=16, reranked_queries=48)


@dataclass(frozen=True)
class SplitSample:
    """Images that form the gallery and captions that ask. Made by `sample_split`."""

    dataset: str
    split: str
    paths: tuple[Path, ...]
    """G images."""
    image_identities: NDArray[np.int64]
    """(G,)."""
    captions: tuple[str, ...]
    """Q."""
    query_identities: NDArray[np.int64]
    """(Q,)."""
    input_ids: NDArray[np.int64]
    """(Q, T)."""
    attention_mask: NDArray[np.int64]
    """(Q, T)."""
    size: SampleSize
    images_in_split: int
    captions_in_split: int
    sha256: str
    """Of images, captions and identities that are measured, and of the number of candidates."""

    @property
    def candidates(self) -> int:
        """K: images per query that are re-ranked."""
        return min(self.size.rerank, len(self.paths))

    @property
    def reranked_queries(self) -> int:
        """Queries that are re-ranked, the first of all."""
        limit = self.size.reranked_queries
        count = len(self.captions) if limit is None else min(limit, len(self.captions))
        return count if self.candidates else 0

    def to_json(self) -> dict[str, Any]:
        """What `parity.json` says of it."""
        return {
            "dataset": self.dataset,
            "split": self.split,
            "images": len(self.paths),
            "captions": len(self.captions),
            "identities": len(np.unique(self.image_identities)),
            "images_in_split": self.images_in_split,
            "captions_in_split": self.captions_in_split,
            "candidates": self.candidates,
            "reranked_captions": self.reranked_queries,
            "sha256": self.sha256,
        }


def sample_split(
    split: Split, tokenizer: CaptionTokenizer, size: SampleSize | None = None, *, seed: int = 0
) -> SplitSample:
    """Choose what is measured: identities at random, each with all of its images and captions.

    Without limits it is the whole split in its order, so that figures are those of `cfack evaluate`. The
    same split, size and seed give the same sample.

    Args:
        split: a split of a prepared data set.
        tokenizer: the model's.
        size: how much; None: all.
        seed: of the choice.

    Raises:
        DataError: an image is missing, a caption is empty, or there are fewer than two identities.
    """
    size = size or SampleSize()
    rng = np.random.default_rng(seed)
    identities = np.array([record.identity for record in split.records])
    images = _choose_images(identities, size.images, rng)
    if len(np.unique(identities[images])) < 2:
        raise DataError(
            f"the {split.name} split of {split.dataset} gives {len(images)} images of one identity, so "
            "every ranking is right; take a larger split or more images"
        )
    asked = [(image, caption) for image in images for caption in split.records[image].captions]
    if size.queries is not None and size.queries < len(asked):
        asked = [asked[i] for i in np.sort(rng.permutation(len(asked))[: size.queries])]
    if size.reranked_queries is not None and size.reranked_queries < len(asked):
        asked = [asked[i] for i in rng.permutation(len(asked))]  # the first are any
    captions = tuple(caption for _, caption in asked)
    encoded = tokenizer.encode(captions)
    paths = tuple(split.path(image) for image in images)
    query_identities = identities[[image for image, _ in asked]]
    return SplitSample(
        dataset=split.dataset,
        split=split.name,
        paths=paths,
        image_identities=identities[images],
        captions=captions,
        query_identities=query_identities,
        input_ids=encoded.input_ids,
        attention_mask=encoded.attention_mask,
        size=size,
        images_in_split=len(split.records),
        captions_in_split=split.num_captions,
        sha256=_sha256(paths, captions, identities[images], query_identities, size),
    )


def _choose_images(identities: NDArray[np.int64], limit: int | None, rng: np.random.Generator) -> list[int]:
    if limit is None or limit >= len(identities):
        return list(range(len(identities)))
    chosen: list[int] = []
    for identity in rng.permutation(np.unique(identities)):
        members = np.flatnonzero(identities == identity).tolist()
        if chosen and len(chosen) + len(members) > limit:
            continue
        chosen += members
    return sorted(chosen)


def _sha256(
    paths: Sequence[Path],
    captions: Sequence[str],
    image_identities: NDArray[np.int64],
    query_identities: NDArray[np.int64],
    size: SampleSize,
) -> str:
    digest = hashlib.sha256(f"cfack-parity-sample-1 {size.rerank} {size.reranked_queries}\n".encode())
    for path, identity in zip(paths, image_identities, strict=True):
        try:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        digest.update(f"{identity} {content}\n".encode())
    for caption, identity in zip(captions, query_identities, strict=True):
        digest.update(f"{identity} {hashlib.sha256(caption.encode()).hexdigest()}\n".encode())
    return digest.hexdigest()
