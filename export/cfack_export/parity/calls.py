"""The calls that a graph is put through: every row alone, then in batches, permuted, repeated and padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfack_export.parity.feeds import Feed
from cfack_export.parity.rows import ONE_PIECE, SENTENCES, Rows
from cfack_runtime.encoders import IMAGE_BATCH, PAIR_BATCH, TEXT_BATCH
from cfack_runtime.graph_contract import ONE_IMAGE, ONE_TEXT

_GARBAGE = 10.0
"""Standard deviation of what lies in padded slots. Tokens leave a LayerNorm and have about 1; at a hundred
the product of two such slots passes the largest number of FP16, and what is infinite cannot be masked."""

Key = tuple[int, ...]
"""Which row of `Rows`: (image,), (caption,) or (caption, image)."""

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Call:
    """One call of a graph."""

    case: str
    feed: Feed
    rows: tuple[Key, ...]
    """What each row of the outputs belongs to."""
    clean: Feed | None = None
    """The same with nothing in the padded slots, where the feed has garbage in them."""


@dataclass(frozen=True)
class Tokens:
    """What pairs are made of: the reference's tokens of the rows."""

    text: FloatArray
    """(R, L, C), zero on padding."""
    image: FloatArray
    """(I, 1+N, C)."""


def image_calls(rows: Rows, batches: Sequence[int] = ()) -> Iterator[Call]:
    """Every picture alone, then in batches up to that of the runtime, and of the given sizes."""
    count = len(rows.pixels)
    for row in range(count):
        yield _image_call(rows, "batch 1", [row])
    yield _image_call(rows, "batch 2", [count - 2, count - 1])
    yield _image_call(rows, f"batch {count}, reversed", range(count)[::-1])
    for batch in _other_batches({IMAGE_BATCH, *batches}, {1, 2, count}):
        yield _image_call(rows, f"batch {batch}, permuted and repeated", _drawn(batch, count))


def text_calls(rows: Rows, shapes: Sequence[tuple[int, int]] = ()) -> Iterator[Call]:
    """Every caption alone, ragged batches, other padding, garbage in it; and the given (batch, length)."""
    lengths, longest = rows.lengths, rows.input_ids.shape[1]
    count = len(lengths)
    for row, length in enumerate(lengths):
        yield _text_call(rows, f"batch 1, length {length}", [row], length)
    sentences = range(SENTENCES)
    yield _text_call(rows, "sentences", sentences, lengths[:SENTENCES].max())
    yield _text_call(rows, "batch 2, reversed", [ONE_PIECE + 1, ONE_PIECE], lengths[ONE_PIECE + 1])
    yield _text_call(rows, f"one word piece padded to {longest}", [ONE_PIECE], longest)
    yield _text_call(rows, f"batch {count}, ragged, permuted and repeated", _drawn(count, count - 1), longest)
    for batch, length in sorted({(TEXT_BATCH, longest), *shapes}):
        fitting = np.flatnonzero(lengths <= length)
        if len(fitting):
            drawn = fitting[_drawn(batch, len(fitting))]
            yield _text_call(rows, f"batch {batch}, length {length}, permuted and repeated", drawn, length)
    dirty = [ONE_PIECE, 1, ONE_PIECE + 2, SENTENCES - 1]
    clean = _text_call(rows, "garbage in padded slots", dirty, longest)
    padding = clean.feed["attention_mask"] == 0
    garbage = np.random.default_rng(1).integers(0, rows.vocab_size, padding.shape)
    ids = np.where(padding, garbage, clean.feed["input_ids"])
    yield Call(clean.case, {**clean.feed, "input_ids": ids}, clean.rows, clean.feed)


def pair_calls(
    graph: str, rows: Rows, tokens: Tokens, shapes: Sequence[tuple[int, int, int]] = ()
) -> Iterator[Call]:
    """Pairs, one text with many images, one image with many texts, as far as the graph takes them.

    Args:
        graph: the re-ranker or one of its rewrites.
        rows: the captions.
        tokens: of captions and images.
        shapes: further (texts, images, length).
    """
    pairs = _Pairs(graph, rows, tokens)
    texts, images = rows.pair_texts, list(range(len(tokens.image)))
    for text in texts:
        for image in images:
            yield pairs.call(f"batch 1, length {rows.lengths[text]}", [text], [image])
    if graph not in (ONE_TEXT, ONE_IMAGE):
        yield pairs.call("batch 2", texts[1:3], images[-2:])
        yield pairs.call("batch 5, ragged, reversed", texts[::-1], images)
        drawn = _drawn(PAIR_BATCH, len(texts))
        yield pairs.call(
            f"batch {PAIR_BATCH}, permuted and repeated", [texts[i] for i in drawn], drawn[::-1].tolist()
        )
    if graph != ONE_TEXT:
        yield pairs.call("one image, five texts", texts, images[-1:])
    if graph != ONE_IMAGE:
        yield pairs.call("one text, five images", texts[:1], images[::-1])
        drawn = _drawn(PAIR_BATCH, len(images))
        yield pairs.call(
            f"one text, {PAIR_BATCH} images, padded", texts[1:2], drawn.tolist(), rows.input_ids.shape[1]
        )
    for some_texts, some_images, length in shapes:
        fitting = [text for text in texts if rows.lengths[text] <= length]
        if fitting:
            yield pairs.call(
                f"{some_texts} texts, {some_images} images, length {length}",
                [fitting[i] for i in _drawn(some_texts, len(fitting))],
                _drawn(some_images, len(images)).tolist(),
                length,
            )
    yield pairs.garbage()


class _Pairs:
    """Calls of one graph with pairs."""

    def __init__(self, graph: str, rows: Rows, tokens: Tokens) -> None:
        self._graph, self._rows, self._tokens = graph, rows, tokens

    def call(self, case: str, texts: Sequence[int], images: Sequence[int], length: int = 0) -> Call:
        longest = length or int(self._rows.lengths[list(texts)].max())
        feed: Feed = {
            "text_tokens": self._tokens.text[list(texts), :longest],
            "attention_mask": self._rows.attention_mask[list(texts), :longest],
            "image_tokens": self._tokens.image[list(images)],
        }
        batch = max(len(texts), len(images))
        keys = zip(_spread(texts, batch), _spread(images, batch), strict=True)
        return Call(case, feed, tuple(keys))

    def garbage(self) -> Call:
        """Short captions in long slots, and in the padding what no caption would leave there."""
        short = [text for text in self._rows.pair_texts if self._rows.lengths[text] <= 7]
        longest = self._rows.input_ids.shape[1]
        texts = short[:1] if self._graph == ONE_TEXT else short
        images = [0] if self._graph == ONE_IMAGE else list(range(len(texts)))
        if self._graph == ONE_TEXT:
            images = [0, 1, 2]
        clean = self.call("garbage in padded slots", texts, images, longest)
        noise = np.random.default_rng(2).normal(size=clean.feed["text_tokens"].shape)
        noise *= _GARBAGE
        padding = clean.feed["attention_mask"][:, :, None] == 0
        dirty = np.where(padding, noise.astype(np.float32), clean.feed["text_tokens"])
        return Call(clean.case, {**clean.feed, "text_tokens": dirty}, clean.rows, clean.feed)


def _image_call(rows: Rows, case: str, chosen: Sequence[int] | NDArray[np.int64]) -> Call:
    return Call(case, {"pixels": rows.pixels[list(chosen)]}, tuple((int(row),) for row in chosen))


def _text_call(rows: Rows, case: str, chosen: Sequence[int] | NDArray[np.int64], length: int) -> Call:
    places = list(chosen)
    padded = max(0, length - rows.input_ids.shape[1])
    ids = np.pad(rows.input_ids[places, :length], ((0, 0), (0, padded)), constant_values=rows.pad_id)
    mask = np.pad(rows.attention_mask[places, :length], ((0, 0), (0, padded)))
    return Call(case, {"input_ids": ids, "attention_mask": mask}, tuple((int(row),) for row in chosen))


def _drawn(batch: int, count: int) -> NDArray[np.int64]:
    """`batch` of `count` rows in no order, each as often as the others or once more."""
    return np.random.default_rng(batch).permutation(np.arange(batch) % count)


def _other_batches(wanted: set[int], done: set[int]) -> list[int]:
    return sorted(wanted - done)


def _spread(rows: Sequence[int], batch: int) -> list[int]:
    return [int(row) for row in rows] * (batch if len(rows) == 1 else 1)
