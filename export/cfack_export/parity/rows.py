"""The distinct images, captions and pairs that graphs are tried on, alone and in every company.

Shapes: I images, R captions, L tokens of the longest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.manifest import Geometry
from cfack_runtime.tokenizer import CaptionTokenizer

_SENTENCES = (
    "A woman with long black hair wears a white shirt, blue jeans and carries a red bag over her shoulder.",
    "Man in a dark coat.",
    "The person walks away from the camera; grey hoodie, black backpack, white sneakers.",
    "girl",
)
SENTENCES = len(_SENTENCES)
"""The first rows of the captions."""
ONE_PIECE = SENTENCES
"""The row of the shortest caption: [CLS], one word piece, [SEP]."""
_SHORTEST = 3


@dataclass(frozen=True)
class Rows:
    """Made by `make_rows`; the same for the same sizes and tokenizer."""

    pixels: NDArray[np.uint8]
    """(I, H, W, 3)."""
    input_ids: NDArray[np.int64]
    """(R, L): sentences, then random word pieces in the shortest, the longest and lengths between."""
    attention_mask: NDArray[np.int64]
    """(R, L)."""
    pad_id: int
    vocab_size: int

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(R,): tokens of each caption."""
        return np.asarray(self.attention_mask.sum(axis=1))

    @property
    def pair_texts(self) -> list[int]:
        """Captions that meet the images in pairs: short, long and between."""
        return [0, ONE_PIECE, ONE_PIECE + 1, ONE_PIECE + 3, len(self.input_ids) - 1]

    def sha256(self) -> str:
        """Hash of all of it."""
        digest = hashlib.sha256()
        for array in (self.pixels, self.input_ids, self.attention_mask):
            digest.update(f"{array.dtype} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def make_rows(geometry: Geometry, tokenizer: CaptionTokenizer, seed: int = 0) -> Rows:
    """Draw pictures and captions for a model of these sizes."""
    rng = np.random.default_rng(seed)
    ids, mask = _captions(geometry, tokenizer, rng)
    pixels = _pictures(geometry.image_height, geometry.image_width, rng)
    return Rows(pixels, ids, mask, tokenizer.pad_id, tokenizer.vocab_size)


def _pictures(height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The extremes and the smooth ramps of real pictures, and noise."""
    shape = (height, width, 3)
    ramp = np.linspace(0, 255, height).astype(np.uint8)[:, None, None]
    return np.stack(
        [
            np.broadcast_to(ramp, shape),
            np.zeros(shape, np.uint8),
            np.full(shape, 255, np.uint8),
            np.broadcast_to(np.array([200, 30, 90], np.uint8), shape),  # channels must not be swapped
            rng.integers(0, 256, shape, dtype=np.uint8),
        ]
    )


def _captions(
    geometry: Geometry, tokenizer: CaptionTokenizer, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    longest = geometry.max_tokens
    sentences = tokenizer.encode(list(_SENTENCES), pad_to=longest)
    lengths = [_SHORTEST, *(min(length, longest) for length in (4, 5, 7)), longest]
    ids, mask = _random_captions(rng, tokenizer, lengths, longest)
    return (
        np.concatenate([sentences.input_ids, ids]),
        np.concatenate([sentences.attention_mask, mask]),
    )


def _random_captions(
    rng: np.random.Generator, tokenizer: CaptionTokenizer, lengths: Sequence[int], length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids [CLS] pieces [SEP] and padding, of the given lengths, padded to `length`; and their mask."""
    mask = (np.arange(length) < np.array(lengths)[:, None]).astype(np.int64)
    ids = rng.integers(0, tokenizer.vocab_size, mask.shape, dtype=np.int64)
    ids[:, 0] = tokenizer.cls_id
    ids[np.arange(len(lengths)), np.array(lengths) - 1] = tokenizer.sep_id
    return np.where(mask == 1, ids, tokenizer.pad_id), mask
