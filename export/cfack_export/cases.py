"""What an exported graph is tried on: other sizes than it was exported with, and what breaks exports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack.config import ModelConfig
from cfack_runtime.tokenizer import CaptionTokenizer

Feed = Mapping[str, NDArray[Any]]

_CAPTIONS = (
    "A woman with long black hair wears a white shirt, blue jeans and carries a red bag over her shoulder.",
    "Man in a dark coat.",
    "The person walks away from the camera; grey hoodie, black backpack, white sneakers.",
    "girl",
)


@dataclass(frozen=True)
class ParityCase:
    """One call."""

    name: str
    feed: Feed
    """What the graph gets."""
    clean: Feed
    """What PyTorch gets: the same, but for padding that was filled with garbage."""
    counts: NDArray[np.bool_] | None = None
    """(B, T) tokens whose output is compared; None: all."""


def image_cases(config: ModelConfig, seed: int = 0) -> Iterator[ParityCase]:
    """Noise, and pictures with the extremes and the smooth ramps of real ones, in batches of 1, 2 and 5."""
    rng = np.random.default_rng(seed)
    shape = (config.vision.image_height, config.vision.image_width, 3)
    ramp = np.linspace(0, 255, shape[0]).astype(np.uint8)[:, None, None]
    pictures = np.stack(
        [
            np.broadcast_to(ramp, shape),
            np.zeros(shape, np.uint8),
            np.full(shape, 255, np.uint8),
            np.broadcast_to(np.array([200, 30, 90], np.uint8), shape),  # channels must not be swapped
            rng.integers(0, 256, shape, dtype=np.uint8),
        ]
    )
    for batch in (1, 2, 5):
        feed = {"pixels": pictures[-batch:]}
        yield ParityCase(f"batch {batch}", feed, feed)


def text_cases(config: ModelConfig, tokenizer: CaptionTokenizer, seed: int = 0) -> Iterator[ParityCase]:
    """Sentences, the shortest and the longest captions, ragged lengths, and garbage behind the captions."""
    rng = np.random.default_rng(seed)
    longest = config.text.max_tokens
    encoded = tokenizer.encode(list(_CAPTIONS))
    sentences: Feed = {"input_ids": encoded.input_ids, "attention_mask": encoded.attention_mask}
    yield ParityCase("sentences", sentences, sentences)
    for lengths in ([3], [min(7, longest), 3], [longest, 3, min(5, longest), longest, min(4, longest)]):
        feed = _random_captions(rng, tokenizer, lengths, lengths[0])
        yield ParityCase(f"batch {len(lengths)}, length {lengths[0]}", feed, feed)
    clean = _random_captions(rng, tokenizer, [3, min(6, longest)], longest)
    padding = clean["attention_mask"] == 0
    dirty = np.where(padding, rng.integers(0, tokenizer.vocab_size, padding.shape), clean["input_ids"])
    yield ParityCase("garbage in padded slots", {**clean, "input_ids": dirty}, clean, ~padding)


def pair_cases(
    text_tokens: NDArray[np.float32],
    attention_mask: NDArray[np.int64],
    image_tokens: NDArray[np.float32],
    seed: int = 0,
) -> Iterator[ParityCase]:
    """Pairs, one image with many texts, one text with many images, and garbage behind the captions.

    Args:
        text_tokens: (5, T, C) from the model's own text encoder.
        attention_mask: (5, T), ragged.
        image_tokens: (5, 1+N, C) from the model's own image encoder.
        seed: of the garbage.
    """
    for name, texts, images, length in (
        ("batch 1, length 3", 1, 1, 3),
        ("batch 2, length 7", 2, 2, 7),
        ("batch 5", 5, 5, None),
        ("one image, five texts", 5, 1, None),
        ("one text, five images", 1, 5, None),
    ):
        feed: Feed = {
            "text_tokens": text_tokens[:texts, :length],
            "attention_mask": attention_mask[:texts, :length],
            "image_tokens": image_tokens[-images:],
        }
        yield ParityCase(name, feed, feed)
    clean: Feed = {"text_tokens": text_tokens, "attention_mask": attention_mask, "image_tokens": image_tokens}
    rng = np.random.default_rng(seed)
    garbage = rng.normal(scale=100.0, size=text_tokens.shape).astype(np.float32)
    dirty = np.where(attention_mask[:, :, None] == 0, garbage, text_tokens)
    yield ParityCase("garbage in padded slots", {**clean, "text_tokens": dirty}, clean)


def _random_captions(
    rng: np.random.Generator, tokenizer: CaptionTokenizer, lengths: Sequence[int], length: int
) -> dict[str, NDArray[np.int64]]:
    """Ids [CLS] pieces [SEP] and padding, of the given lengths, padded to `length`."""
    mask = (np.arange(length) < np.array(lengths)[:, None]).astype(np.int64)
    ids = rng.integers(0, tokenizer.vocab_size, mask.shape, dtype=np.int64)
    ids[:, 0] = tokenizer.cls_id
    ids[np.arange(len(lengths)), np.array(lengths) - 1] = tokenizer.sep_id
    return {"input_ids": np.where(mask == 1, ids, tokenizer.pad_id), "attention_mask": mask}
