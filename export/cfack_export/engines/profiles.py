"""Optimisation profiles: the shapes that an engine takes, written down and not discovered.

An engine refuses what lies outside its profiles and is tuned for one point of each. Texts get one profile
per length bucket, because a caption of 12 tokens padded to 40 would cost three times as much. The buckets
do not overlap, so that a shape belongs to one profile and its edges can be tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cfack_runtime.encoders import pair_batch
from cfack_runtime.engine import Profile, ShapeRange
from cfack_runtime.errors import UsageError
from cfack_runtime.graph_contract import IMAGE_ENCODER, TEXT_ENCODER
from cfack_runtime.manifest import TensorSpec

SHORTEST_TEXT = 2
"""[CLS] and [SEP]: what is left of a caption that the tokenizer empties."""

_TEXT_INPUTS = ("input_ids", "attention_mask", "text_tokens")
_LENGTH_AXIS = 1
_FEWEST_PAIRS = 32


@dataclass(frozen=True)
class BatchRange:
    """Sizes of a batch: the smallest, the one to be fast at, the largest."""

    min: int
    opt: int
    max: int

    def __post_init__(self) -> None:
        if not 1 <= self.min <= self.opt <= self.max:
            raise UsageError(
                f"batch sizes are min {self.min}, opt {self.opt} and max {self.max}, expected "
                "1 <= min <= opt <= max"
            )


@dataclass(frozen=True)
class ProfileSettings:
    """What profiles are made of; the defaults cover every batch that the runtime sends by itself."""

    images: BatchRange = field(default_factory=lambda: BatchRange(1, 8, 32))
    texts: BatchRange = field(default_factory=lambda: BatchRange(1, 8, 64))
    pairs: BatchRange | None = None
    """None: `default_pairs`."""
    length_buckets: tuple[int, ...] = (16, 32)
    """Longest text of each bucket but the last, in tokens; the last one ends at what the model reads."""


def default_pairs(values_per_image: int) -> BatchRange:
    """Pairs per call of the re-ranker, as many as the runtime sends to a GPU, but 32 at least.

    Args:
        values_per_image: (1+N) * C. At base size that gives 75.
    """
    most = max(_FEWEST_PAIRS, pair_batch(values_per_image, "cuda"))
    return BatchRange(1, min(32, most), most)


def graph_profiles(
    graph: str, inputs: Sequence[TensorSpec], max_tokens: int, settings: ProfileSettings
) -> tuple[Profile, ...]:
    """Make the profiles of one graph.

    Args:
        graph: its name.
        inputs: what it takes. The second axis of a text's inputs is its length, every first axis a batch; an
            axis that is fixed stays so (the rewrites have a batch of 1 on one side).
        max_tokens: longest text, in tokens.
        settings: batches and buckets.

    Raises:
        UsageError: the buckets are not increasing lengths below `max_tokens`.
    """
    batch = _batch(graph, inputs, settings)
    if not any(spec.name in _TEXT_INPUTS for spec in inputs):
        return (_profile(inputs, batch, (1, 1, 1)),)
    return tuple(
        _profile(inputs, batch, lengths) for lengths in _buckets(settings.length_buckets, max_tokens)
    )


def _batch(graph: str, inputs: Sequence[TensorSpec], settings: ProfileSettings) -> BatchRange:
    if graph == IMAGE_ENCODER:
        return settings.images
    if graph == TEXT_ENCODER:
        return settings.texts
    if settings.pairs is not None:
        return settings.pairs
    tokens = next(spec.shape for spec in inputs if spec.name == "image_tokens")
    return default_pairs(int(tokens[1]) * int(tokens[2]))


def _buckets(edges: Sequence[int], longest: int) -> list[tuple[int, int, int]]:
    """Shortest, best and longest text of each bucket; the best is the longest, where time is lost."""
    if list(edges) != sorted(set(edges)) or any(edge < SHORTEST_TEXT for edge in edges):
        raise UsageError(
            f"length buckets are {list(edges)}, expected increasing numbers of tokens from {SHORTEST_TEXT}"
        )
    ends = [edge for edge in edges if edge < longest] + [longest]
    starts = [SHORTEST_TEXT, *(end + 1 for end in ends)]
    return [(start, end, end) for start, end in zip(starts, ends, strict=False)]


def _profile(inputs: Sequence[TensorSpec], batch: BatchRange, lengths: tuple[int, int, int]) -> Profile:
    batches = (batch.min, batch.opt, batch.max)

    def shape(spec: TensorSpec, corner: int) -> tuple[int, ...]:
        return tuple(
            axis if isinstance(axis, int) else (lengths if place == _LENGTH_AXIS else batches)[corner]
            for place, axis in enumerate(spec.shape)
        )

    return {spec.name: ShapeRange(*(shape(spec, corner) for corner in range(3))) for spec in inputs}
