"""What a prepared split holds: counts, lengths of captions, sizes of images."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from cfack.data.annotations import Split
from cfack.data.image_checks import image_size
from cfack.data.prepare import split_counts
from cfack.data.sources import Counts
from cfack_runtime.captions import normalize_caption
from cfack_runtime.progress import ProgressCallback, no_progress
from cfack_runtime.tokenizer import CaptionTokenizer

UNLIMITED_TOKENS = 1_000_000
"""`max_tokens` of a tokenizer that is to measure captions, not to cut them."""


@dataclass(frozen=True)
class Quantiles:
    """How a quantity is spread."""

    minimum: float
    p5: float
    median: float
    p95: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Quantiles:
        """The quantiles of at least one value."""
        return cls(*(float(q) for q in np.quantile(np.asarray(values), (0, 0.05, 0.5, 0.95, 1))))


@dataclass(frozen=True)
class SplitStatistics:
    """What one split holds."""

    name: str
    counts: Counts
    words: Quantiles
    """Words per normalised caption."""
    pieces: Quantiles | None
    """Word pieces per caption, [CLS] and [SEP] included; None without a tokenizer."""
    truncated: float | None
    """Percent of captions with more than `max_tokens` word pieces; None without a tokenizer."""
    height: Quantiles
    """Image height in pixels."""
    width: Quantiles
    aspect: Quantiles
    """Height by width."""


def split_statistics(
    split: Split,
    tokenizer: CaptionTokenizer | None = None,
    max_tokens: int = 40,
    progress: ProgressCallback = no_progress,
) -> SplitStatistics:
    """Measure a split.

    Args:
        split: what to measure.
        tokenizer: counts word pieces; made with `UNLIMITED_TOKENS`.
        max_tokens: length at which a model would cut captions.
        progress: told the images looked at and all.

    Raises:
        ImageError: an image is missing or is none.
    """
    captions = [caption for record in split.records for caption in record.captions]
    words = [len(normalize_caption(caption, UNLIMITED_TOKENS).split()) for caption in captions]
    lengths = [] if tokenizer is None else [_num_pieces(tokenizer, caption) for caption in captions]
    sizes = _image_sizes(split, progress)
    return SplitStatistics(
        split.name,
        split_counts(split),
        Quantiles.of(words),
        Quantiles.of(lengths) if lengths else None,
        100 * sum(length > max_tokens for length in lengths) / len(lengths) if lengths else None,
        Quantiles.of([height for _, height in sizes]),
        Quantiles.of([width for width, _ in sizes]),
        Quantiles.of([height / width for width, height in sizes]),
    )


def _num_pieces(tokenizer: CaptionTokenizer, caption: str) -> int:
    return int(tokenizer.encode([caption]).attention_mask.sum())


def _image_sizes(split: Split, progress: ProgressCallback) -> list[tuple[int, int]]:
    paths = [split.path(index) for index in range(len(split.records))]
    sizes = []
    with ThreadPoolExecutor() as pool:
        for size in pool.map(image_size, paths):
            sizes.append(size)
            progress(len(sizes), len(paths))
    return sizes
