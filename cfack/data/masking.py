"""Choosing the word pieces that masked language modelling hides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cfack.config import AugmentConfig
from cfack_runtime.tokenizer import CaptionTokenizer

IGNORED = -100
"""Label of a place in `labels` that holds no masked piece."""

_MASK_SHARE = 0.8
_RANDOM_SHARE = 0.1


@dataclass(frozen=True)
class MaskedCaption:
    """A caption with hidden pieces. M is `augment.max_masks`."""

    ids: NDArray[np.int64]
    """(T,): the caption with some ids replaced."""
    positions: NDArray[np.int64]
    """(M,): where, then 0."""
    labels: NDArray[np.int64]
    """(M,): the ids that were there, then -100."""


class Masker(Protocol):
    """Hides pieces of a caption."""

    def __call__(
        self, ids: NDArray[np.int64], length: int, caption: str, rng: np.random.Generator
    ) -> MaskedCaption:
        """Mask one caption.

        Args:
            ids: (T,), padded.
            length: tokens that are no padding, [CLS] and [SEP] included.
            caption: the text that the ids stand for.
            rng: decides.
        """


class SpanMasker:
    """Whole words and short runs of pieces; 80 % become [MASK], 10 % any id, 10 % stay.

    Args:
        tokenizer: says what [MASK] is, and which pieces go on a word.
        augment: shares and lengths.
        mask_padding: as released (O9): their number comes from the padded length T, and [SEP] and padding
            are masked too. Otherwise only word pieces are masked, a share of their own number.
    """

    def __init__(
        self, tokenizer: CaptionTokenizer, augment: AugmentConfig, *, mask_padding: bool = False
    ) -> None:
        self._augment = augment
        self._mask_id = tokenizer.mask_id
        self._vocab_size = tokenizer.vocab_size
        self._continues = continuation_table(tokenizer)
        self._mask_padding = mask_padding

    def __call__(
        self, ids: NDArray[np.int64], length: int, caption: str, rng: np.random.Generator
    ) -> MaskedCaption:
        """See `Masker`."""
        end = len(ids) if self._mask_padding else length - 1  # without [SEP]
        counted = len(ids) if self._mask_padding else length - 2
        wanted = min(self._augment.max_masks, max(1, round(counted * self._augment.mask_probability)))
        positions = self._draw_positions(ids, end, wanted, rng)
        if len(positions) > wanted:
            positions = [positions[i] for i in rng.permutation(len(positions))[:wanted]]
        masked = ids.copy()
        for position, draw in zip(positions, rng.random(len(positions)), strict=True):
            if draw < _MASK_SHARE:
                masked[position] = self._mask_id
            elif draw < _MASK_SHARE + _RANDOM_SHARE:
                masked[position] = rng.integers(self._vocab_size)
        return MaskedCaption(masked, *_padded(ids, positions, self._augment.max_masks, IGNORED))

    def _draw_positions(
        self, ids: NDArray[np.int64], end: int, wanted: int, rng: np.random.Generator
    ) -> list[int]:
        """Positions from 1 to `end` - 1, at least `wanted` if there are so many, spans whole."""
        continues = self._continues[ids[:end]].tolist()
        chosen: dict[int, None] = {}
        for start in (rng.permutation(end - 1) + 1).tolist():
            if len(chosen) >= wanted:
                break
            if start in chosen:
                continue
            span = range(start, start + self._span_length(rng))
            for position in _whole_words(span, continues, end):
                if not 1 <= position < end:
                    break
                chosen[position] = None
        return list(chosen)

    def _span_length(self, rng: np.random.Generator) -> int:
        augment = self._augment
        if augment.skip_gram_size < 2 or rng.random() >= augment.skip_gram_probability:
            return 1
        return int(rng.integers(2, augment.skip_gram_size + 1))


class NounMasker:
    """Nouns that are a single piece, always replaced by [MASK].

    Args:
        tokenizer: says what [MASK] is.
        augment: how many at most.
        positions_of: where the nouns of a caption are among its ids.
        zero_labels: as released (O10): places without a noun get the label 0, which a loss does not ignore.
    """

    def __init__(
        self,
        tokenizer: CaptionTokenizer,
        augment: AugmentConfig,
        positions_of: NounPositions,
        *,
        zero_labels: bool = False,
    ) -> None:
        self._mask_id = tokenizer.mask_id
        self._max_masks = augment.max_masks
        self._positions_of = positions_of
        self._fill = 0 if zero_labels else IGNORED

    def __call__(
        self, ids: NDArray[np.int64], length: int, caption: str, rng: np.random.Generator
    ) -> MaskedCaption:
        """See `Masker`."""
        # A noun that was cut off with the end of a long caption has no position any more.
        nouns = [position for position in self._positions_of(caption) if position < length - 1]
        positions = [nouns[i] for i in rng.permutation(len(nouns))[: self._max_masks]]
        masked = ids.copy()
        masked[positions] = self._mask_id
        return MaskedCaption(masked, *_padded(ids, positions, self._max_masks, self._fill))


class NounPositions(Protocol):
    """Finds the nouns of a caption that are a single word piece."""

    def __call__(self, caption: str) -> Sequence[int]:
        """Positions among the caption's ids, [CLS] being 0."""


def continuation_table(tokenizer: CaptionTokenizer) -> NDArray[np.bool_]:
    """Say for each id whether it goes on a word (vocab_size,)."""
    names = tokenizer.tokens(range(tokenizer.vocab_size))
    return np.array([name.startswith("##") for name in names])


def _whole_words(span: range, continues: Sequence[bool], end: int) -> range:
    """Stretch a span so that it begins and ends with words."""
    first, last = span.start, span.stop
    while 0 < first < end and continues[first]:
        first -= 1
    while last < end and continues[last]:
        last += 1
    return range(first, last)


def _padded(
    ids: NDArray[np.int64], positions: Sequence[int], size: int, fill: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    places = np.zeros(size, dtype=np.int64)
    labels = np.full(size, fill, dtype=np.int64)
    places[: len(positions)] = positions
    labels[: len(positions)] = ids[list(positions)]
    return places, labels
