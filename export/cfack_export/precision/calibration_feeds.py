"""Calls of the FP32 graphs with calibration samples, as serving will make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from cfack_export.precision.calibration import CalibrationSamples
from cfack_runtime.backends import Feed, open_backend
from cfack_runtime.graph_contract import IMAGE_ENCODER, ONE_IMAGE, ONE_TEXT, TEXT_ENCODER

_BATCH = 2
_CANDIDATES = 4

Arrays = Mapping[str, NDArray[Any]]


class CalibrationFeeds:
    """Calls of every graph.

    The re-ranker gets each caption with the images that the encoders rank first for it, never random pairs.

    Args:
        samples: what to call with.
        encoders: image and text encoder -> FP32 file; they are run when a re-ranker is first asked for.
    """

    def __init__(self, samples: CalibrationSamples, encoders: Mapping[str, Path]) -> None:
        self.samples = samples
        self._encoders = encoders

    def of(self, graph: str) -> Sequence[Feed]:
        """Give the calls of a graph; each is made when it is looked at.

        Raises:
            BackendError: ONNX Runtime is not here or cannot run an encoder.
        """
        samples = self.samples
        batches = [slice(start, start + _BATCH) for start in range(0, samples.count, _BATCH)]
        if graph == IMAGE_ENCODER:
            return _Calls(len(batches), lambda number: {"pixels": samples.pixels[batches[number]]})
        if graph == TEXT_ENCODER:
            return _Calls(len(batches), lambda number: _texts(samples, batches[number]))
        encoded = self._encoded
        return _Calls(samples.count, lambda row: _pairs(graph, samples, encoded, row))

    @cached_property
    def _encoded(self) -> _Encoded:
        text = self._run(TEXT_ENCODER, [_texts(self.samples, slice(None))])[0]
        calls = self._run(IMAGE_ENCODER, self.of(IMAGE_ENCODER))
        images = np.concatenate([outputs["image_embedding"] for outputs in calls])
        tokens = np.concatenate([outputs["image_tokens"] for outputs in calls])
        return _Encoded(text["text_tokens"], tokens, text["text_embedding"] @ images.T)

    def _run(self, graph: str, feeds: Sequence[Feed]) -> list[Arrays]:
        backend = open_backend(self._encoders[graph])
        try:
            return [backend.run(feed) for feed in feeds]
        finally:
            backend.close()


@dataclass(frozen=True)
class _Encoded:
    text_tokens: NDArray[np.float32]
    """(n, T, C)."""
    image_tokens: NDArray[np.float32]
    """(n, 1+N, C)."""
    scores: NDArray[np.float32]
    """(n, n): cosines of captions and images."""


class _Calls(Sequence[Feed]):
    """Made one by one: those of a re-ranker would take gigabytes."""

    def __init__(self, count: int, make: Callable[[int], Feed]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Feed: ...
    @overload
    def __getitem__(self, index: slice) -> list[Feed]: ...

    def __getitem__(self, index: int | slice) -> Feed | list[Feed]:
        numbers = range(self._count)[index]
        return self._make(numbers) if isinstance(numbers, int) else [self._make(n) for n in numbers]


def _texts(samples: CalibrationSamples, rows: slice) -> Feed:
    mask = samples.attention_mask[rows]
    longest = int(mask.sum(axis=1).max())
    return {"input_ids": samples.input_ids[rows, :longest], "attention_mask": mask[:, :longest]}


def _pairs(graph: str, samples: CalibrationSamples, encoded: _Encoded, row: int) -> Feed:
    """A caption and its first candidates, or for one image the captions that rank it first."""
    if graph == ONE_IMAGE:
        captions = np.argsort(-encoded.scores[:, row], kind="stable")[:_CANDIDATES]
        found = np.array([row])
    else:
        found = np.argsort(-encoded.scores[row], kind="stable")[:_CANDIDATES]
        captions = np.array([row] if graph == ONE_TEXT else [row] * len(found))
    mask = samples.attention_mask[captions]
    longest = int(mask.sum(axis=1).max())
    return {
        "text_tokens": encoded.text_tokens[captions, :longest],
        "attention_mask": mask[:, :longest],
        "image_tokens": encoded.image_tokens[found],
    }
