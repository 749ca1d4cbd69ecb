"""Inputs that every candidate gets: made once, read by each process.

Shapes: B images, H, W pixels, T text tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cfack.data.annotations import Split
from cfack_runtime.images import load_image
from cfack_runtime.manifest import Geometry
from cfack_runtime.tokenizer import SPECIAL_TOKENS, CaptionTokenizer, EncodedCaptions

_WORKLOAD, _PIXELS = "workload.json", "pixels.npy"

# Captions of CUHK-PEDES have 23 words on average; these lengths lie around that.
_CAPTION_WORDS = (12, 16, 20, 24, 28, 32)
_CAPTIONS = 24


@dataclass(frozen=True)
class Question:
    """A caption whose right images are known, for the measurement of accuracy."""

    caption: str
    identity: int


@dataclass(frozen=True)
class Workload:
    """Where the inputs are, and small ones themselves."""

    bundle: Path
    checkpoint: Path | None
    gallery: Path | None
    captions: tuple[str, ...]
    """Asked in turn."""
    k: int
    """Images that a query asks for."""
    seed: int
    images: tuple[Path, ...] = ()
    """Images of the split, for accuracy; none without a data set."""
    identities: tuple[int, ...] = ()
    """Of `images`."""
    questions: tuple[Question, ...] = ()


def save_workload(folder: Path, workload: Workload, pixels: NDArray[np.uint8]) -> None:
    """Write what `read_workload` and `read_pixels` read."""
    (folder / _WORKLOAD).write_text(json.dumps(asdict(workload), default=str), encoding="utf-8")
    np.save(folder / _PIXELS, pixels)


def read_workload(folder: Path) -> Workload:
    """Read what `save_workload` wrote."""
    values = json.loads((folder / _WORKLOAD).read_text(encoding="utf-8"))
    for name in ("bundle", "checkpoint", "gallery"):
        values[name] = None if values[name] is None else Path(values[name])
    values["captions"], values["identities"] = tuple(values["captions"]), tuple(values["identities"])
    values["images"] = tuple(Path(path) for path in values["images"])
    values["questions"] = tuple(Question(**question) for question in values["questions"])
    return Workload(**values)


def read_pixels(folder: Path, count: int) -> NDArray[np.uint8]:
    """The first `count` images (count, H, W, 3)."""
    pixels: NDArray[np.uint8] = np.load(folder / _PIXELS, mmap_mode="r")
    return np.array(pixels[:count])


def noise_pixels(geometry: Geometry, count: int, seed: int) -> NDArray[np.uint8]:
    """Random images; the time of a graph does not depend on what they show."""
    shape = (count, geometry.image_height, geometry.image_width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def split_pixels(split: Split, geometry: Geometry, count: int) -> NDArray[np.uint8]:
    """The first images of a split, from the start again where it has fewer."""
    paths = [split.path(index % len(split.records)) for index in range(count)]
    images = {path: load_image(path, geometry.image_height, geometry.image_width) for path in set(paths)}
    return np.stack([images[path] for path in paths])


def split_captions(split: Split) -> tuple[str, ...]:
    """Captions spread evenly over a split."""
    captions = [caption for record in split.records for caption in record.captions]
    count = min(_CAPTIONS, len(captions))
    return tuple(captions[place * len(captions) // count] for place in range(count))


def made_up_captions(tokenizer: CaptionTokenizer, seed: int) -> tuple[str, ...]:
    """Sentences of random words out of the vocabulary, of the lengths that captions have."""
    words = [
        word
        for word in tokenizer.tokens(range(tokenizer.vocab_size))
        if word.isascii() and word.isalpha() and word not in SPECIAL_TOKENS
    ]
    draw = np.random.default_rng(seed)
    longest = tokenizer.max_tokens - 2
    return tuple(
        " ".join(draw.choice(words, min(_CAPTION_WORDS[index % len(_CAPTION_WORDS)], longest)))
        for index in range(_CAPTIONS)
    )


def random_ids(tokenizer: CaptionTokenizer, batch: int, tokens: int, seed: int) -> EncodedCaptions:
    """Texts of exactly `tokens` ids (batch, tokens), without padding."""
    draw = np.random.default_rng(seed)
    ids = draw.integers(0, tokenizer.vocab_size, (batch, tokens), dtype=np.int64)
    ids[:, 0], ids[:, -1] = tokenizer.cls_id, tokenizer.sep_id
    return EncodedCaptions(ids, np.ones_like(ids))


def questions_of(split: Split, images: int, captions: int, seed: int) -> tuple[Sequence[int], list[Question]]:
    """Draw a gallery and questions about it.

    Returns:
        Places of at most `images` records, and at most `captions` questions, of captions of those records.
    """
    draw = np.random.default_rng(seed)
    places = sorted(draw.permutation(len(split.records))[:images].tolist())
    asked = [
        Question(caption, split.records[place].identity)
        for place in places
        for caption in split.records[place].captions
    ]
    chosen = draw.permutation(len(asked))[:captions].tolist()
    return places, [asked[index] for index in chosen]
