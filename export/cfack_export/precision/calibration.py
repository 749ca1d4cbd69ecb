"""Real images and captions that the ranges of activations are measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack.config import ModelConfig
from cfack.data.annotations import read_split
from cfack_runtime.backends import Feed
from cfack_runtime.errors import UsageError
from cfack_runtime.graph_contract import IMAGE_ENCODER, ONE_IMAGE, ONE_TEXT, TEXT_ENCODER
from cfack_runtime.images import load_image
from cfack_runtime.tokenizer import CaptionTokenizer

Run = Callable[[Feed], Mapping[str, NDArray[Any]]]
"""Runs a graph: input name -> array in, output name -> array out."""

_BATCH = 2
_CANDIDATES = 4


@dataclass(frozen=True)
class CalibrationSamples:
    """Images of a split, and one caption of each."""

    pixels: NDArray[np.uint8]
    """(n, H, W, 3)."""
    captions: tuple[str, ...]
    """n sentences; the i-th describes image i."""
    input_ids: NDArray[np.int64]
    """(n, T)."""
    attention_mask: NDArray[np.int64]
    """(n, T)."""
    sha256: str
    """Of pixels and captions."""

    @property
    def count(self) -> int:
        """Number of images, and of captions."""
        return len(self.captions)


def read_calibration(
    data: Path,
    config: ModelConfig,
    tokenizer: CaptionTokenizer,
    *,
    split: str = "train",
    count: int = 64,
    seed: int = 0,
) -> CalibrationSamples:
    """Draw images of a split, with a caption each; the same arguments draw the same.

    Args:
        data: a prepared data set.
        config: its image size is the model's.
        tokenizer: the model's.
        split: which split; the one trained on, so that no evaluation is fitted to.
        count: how many; all, if the split has fewer.
        seed: of the draw.

    Raises:
        UsageError: `count` is not positive.
        DataError: there is no such split, or a caption or an image cannot be used.
    """
    if count < 1:
        raise UsageError(f"calibration with {count} samples; give at least 1, 64 is usual")
    source = read_split(data, split)
    rng = np.random.default_rng(seed)
    total = len(source.records)
    chosen = sorted(rng.choice(total, size=min(count, total), replace=False).tolist())
    captions = tuple(str(rng.choice(source.records[i].captions)) for i in chosen)
    vision = config.vision
    pixels = np.stack([load_image(source.path(i), vision.image_height, vision.image_width) for i in chosen])
    encoded = tokenizer.encode(captions)
    digest = hashlib.sha256(pixels.tobytes())
    digest.update("\n".join(captions).encode())
    return CalibrationSamples(pixels, captions, encoded.input_ids, encoded.attention_mask, digest.hexdigest())


def calibration_feeds(graph: str, samples: CalibrationSamples, encoders: Mapping[str, Run]) -> Sequence[Feed]:
    """Calls of a graph as serving will make them.

    The re-ranker gets each caption with the images that the encoders rank first for it, never random pairs.

    Args:
        graph: one of the contract.
        samples: what to call it with.
        encoders: name -> FP32 graph; both encoders, for a re-ranker.

    Returns:
        Feeds of the FP32 graph. Those of a re-ranker share their arrays or are views of small batches.
    """
    if graph == IMAGE_ENCODER:
        return [{"pixels": samples.pixels[rows]} for rows in _batches(samples.count)]
    if graph == TEXT_ENCODER:
        return [_texts(samples, rows) for rows in _batches(samples.count)]
    return list(_pairs(graph, samples, encoders))


def _batches(count: int) -> list[slice]:
    return [slice(start, start + _BATCH) for start in range(0, count, _BATCH)]


def _texts(samples: CalibrationSamples, rows: slice) -> Feed:
    mask = samples.attention_mask[rows]
    longest = int(mask.sum(axis=1).max())
    return {"input_ids": samples.input_ids[rows, :longest], "attention_mask": mask[:, :longest]}


def _pairs(graph: str, samples: CalibrationSamples, encoders: Mapping[str, Run]) -> Iterator[Feed]:
    """One feed a caption: it and its first candidates, or for one image the captions that rank it first."""
    texts = encoders[TEXT_ENCODER]({"input_ids": samples.input_ids, "attention_mask": samples.attention_mask})
    images = [encoders[IMAGE_ENCODER]({"pixels": samples.pixels[rows]}) for rows in _batches(samples.count)]
    embeddings = np.concatenate([outputs["image_embedding"] for outputs in images])
    tokens = np.concatenate([outputs["image_tokens"] for outputs in images])
    scores = texts["text_embedding"] @ embeddings.T  # (captions, images)
    for row in range(samples.count):
        if graph == ONE_IMAGE:
            captions = np.argsort(-scores[:, row], kind="stable")[:_CANDIDATES]
            found = np.array([row])
        else:
            captions = np.array([row])
            found = np.argsort(-scores[row], kind="stable")[:_CANDIDATES]
        if graph != ONE_TEXT and len(captions) == 1:
            captions = captions.repeat(len(found))
        mask = samples.attention_mask[captions]
        longest = int(mask.sum(axis=1).max())
        yield {
            "text_tokens": texts["text_tokens"][captions, :longest],
            "attention_mask": mask[:, :longest],
            "image_tokens": tokens[found],
        }
