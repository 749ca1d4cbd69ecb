"""How much each group of layers harms by being quantised: on a few images and captions, one group at a time.

Shapes: I images, Q captions, T text tokens, D embedding.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cfack_export.parity import Feed, Reference, Run, backend_run
from cfack_export.parity.feeds import searching_graph
from cfack_export.precision.layers import layers_by_graph
from cfack_export.precision.reports import Int8Report
from cfack_runtime.backends import open_backend
from cfack_runtime.graph_contract import IMAGE_ENCODER, TEXT_ENCODER
from cfack_runtime.images import load_image
from cfack_runtime.progress import ProgressCallback

_CAPTIONS, _IMAGES_EACH, _IMAGES = 4, 4, 8
_MOST_GROUPS = 16
"""Of a graph: more layers than that are measured a block at a time."""

Convert = Callable[[Path, Path, str, Collection[str]], Int8Report]
"""Source, file to write, graph, layers to leave out."""
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class HarmSample:
    """The first captions of the gate's sample, and the images that the reference ranks first for them."""

    pixels: NDArray[np.uint8]
    """(I, H, W, 3)."""
    input_ids: NDArray[np.int64]
    """(Q, T)."""
    attention_mask: NDArray[np.int64]
    """(Q, T)."""
    reranked: bool
    """Whether match logits count."""

    @classmethod
    def of(cls, reference: Reference) -> HarmSample:
        """Choose from the sample of a reference, which has one."""
        sample, geometry = reference.inputs.sample, reference.inputs.geometry
        assert sample is not None
        order = reference.rankings()[0].order[:_CAPTIONS, :_IMAGES_EACH]
        images = list(dict.fromkeys(order.T.ravel().tolist()))[:_IMAGES]  # every caption's first, then second
        size = (geometry.image_height, geometry.image_width)
        pixels = np.stack([load_image(sample.paths[image], *size) for image in images])
        mask = sample.attention_mask[:_CAPTIONS]
        longest = int(mask.sum(axis=1).max())
        ids = sample.input_ids[:_CAPTIONS, :longest]
        return cls(pixels, ids, mask[:, :longest], sample.reranked_queries > 0)


@dataclass(frozen=True)
class _Outcome:
    cosines: FloatArray
    """(Q, I)."""
    logits: FloatArray
    """(Q, I): logit 1; empty if nothing is re-ranked."""

    def harm(self, exact: _Outcome) -> float:
        """Root mean square error against the spread of the exact values, of the stage that suffers more."""
        return max(_share(self.cosines, exact.cosines), _share(self.logits, exact.logits))


def measure_harm(
    files: Mapping[str, Path],
    convert: Convert,
    sample: HarmSample,
    scratch: Path,
    progress: ProgressCallback,
) -> dict[tuple[str, ...], float]:
    """Quantise one group of layers after the other, alone, and see what becomes of scores.

    Args:
        files: graph -> FP32 file. Of the re-ranker's forms the one that searches is looked at.
        convert: writes a graph with some layers left out.
        sample: what to run.
        scratch: folder for files.
        progress: counts groups.

    Returns:
        Layers of a group -> harm, the group with the most harmful layers first.

    Raises:
        BundleError: a graph cannot be read.
        BackendError: a graph cannot be run.
    """
    chain = _Chain(files, sample)
    graphs = (IMAGE_ENCODER, TEXT_ENCODER, *([chain.reranker] if sample.reranked else []))
    layers = layers_by_graph(files)
    work = [(graph, group) for graph in graphs for group in _groups(layers[graph])]
    harm: dict[tuple[str, ...], float] = {}
    for done, (graph, group) in enumerate(work):
        progress(done, len(work))
        with tempfile.TemporaryDirectory(dir=scratch, prefix=".harm-") as folder:
            file = Path(folder) / f"{graph}.onnx"
            convert(files[graph], file, graph, set(layers[graph]) - set(group))
            harm[group] = chain.with_graph(graph, file).harm(chain.exact)
    return dict(sorted(harm.items(), key=lambda entry: -_of_a_layer(*entry)))


class _Chain:
    """Sample to scores; what the changed graph does not reach is taken from the exact run."""

    def __init__(self, files: Mapping[str, Path], sample: HarmSample) -> None:
        self._files, self._sample = files, sample
        self.reranker = searching_graph(files)
        with _opened(files[IMAGE_ENCODER]) as run:
            self._images = run({"pixels": sample.pixels})
        with _opened(files[TEXT_ENCODER]) as run:
            self._texts = self._encode_texts(run)
        self.exact = self._score()

    def with_graph(self, graph: str, file: Path) -> _Outcome:
        with _opened(file) as run:
            if graph == IMAGE_ENCODER:
                return self._score(images=run({"pixels": self._sample.pixels}))
            if graph == TEXT_ENCODER:
                return self._score(texts=self._encode_texts(run))
            return self._score(reranker=run)

    def _encode_texts(self, run: Run) -> Mapping[str, FloatArray]:
        feed = {"input_ids": self._sample.input_ids, "attention_mask": self._sample.attention_mask}
        return run(feed)

    def _score(
        self,
        images: Mapping[str, FloatArray] | None = None,
        texts: Mapping[str, FloatArray] | None = None,
        reranker: Run | None = None,
    ) -> _Outcome:
        images, texts = images or self._images, texts or self._texts
        cosines = texts["text_embedding"] @ images["image_embedding"].T
        if not self._sample.reranked:
            return _Outcome(cosines, np.empty((0, 0), np.float32))
        if reranker is not None:
            return _Outcome(cosines, self._match(reranker, images, texts))
        with _opened(self._files[self.reranker]) as run:
            return _Outcome(cosines, self._match(run, images, texts))

    def _match(
        self, run: Run, images: Mapping[str, FloatArray], texts: Mapping[str, FloatArray]
    ) -> FloatArray:
        rows = []
        for row, length in enumerate(self._sample.attention_mask.sum(axis=1).tolist()):
            feed: Feed = {
                "text_tokens": texts["text_tokens"][row : row + 1, :length],
                "attention_mask": self._sample.attention_mask[row : row + 1, :length],
                "image_tokens": images["image_tokens"],
            }
            rows.append(run(feed)["match_logits"][:, 1])
        return np.stack(rows)


@contextmanager
def _opened(file: Path) -> Iterator[Run]:
    backend = open_backend(file)
    try:
        yield backend_run(backend)
    finally:
        backend.close()


def _groups(layers: Sequence[str]) -> list[tuple[str, ...]]:
    """Each layer alone, or where they are many, those of one block together."""
    if len(layers) <= _MOST_GROUPS:
        return [(layer,) for layer in layers]
    blocks: dict[str, list[str]] = {}
    for layer in layers:
        blocks.setdefault(_block(layer), []).append(layer)
    return [tuple(block) for block in blocks.values()]


def _block(layer: str) -> str:
    """`vision.blocks.3.mlp.fc1/MatMul` belongs to `vision.blocks.3`."""
    parts = layer.split(".")
    numbers = [place for place, part in enumerate(parts) if part.isdecimal()]
    return ".".join(parts[: numbers[0] + 1]) if numbers else layer


def _of_a_layer(group: tuple[str, ...], harm: float) -> float:
    """Errors of layers add up in squares: a group counts by what one of its layers does, not by its size."""
    return harm / math.sqrt(len(group))


def _share(got: FloatArray, exact: FloatArray) -> float:
    if not exact.size:
        return 0.0
    error = float(np.sqrt(np.mean((got.astype(np.float64) - exact) ** 2)))
    return error / max(float(exact.std()), 1e-12) if np.isfinite(error) else float("inf")
