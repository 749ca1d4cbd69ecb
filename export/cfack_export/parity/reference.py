"""What every precision is measured against: computed once, kept as arrays.

Shapes: I pictures, R captions of the rows; Q queries, G gallery images, K candidates of the sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cfack_export.parity.calls import Tokens
from cfack_export.parity.features import (
    Ranking,
    dual_ranking,
    encode_sample,
    match_candidates,
    reranked_ranking,
)
from cfack_export.parity.feeds import Run
from cfack_export.parity.rows import Rows, make_rows
from cfack_export.parity.sample import SplitSample
from cfack_runtime.errors import UsageError
from cfack_runtime.graph_contract import IMAGE_ENCODER, RERANKER, TEXT_ENCODER
from cfack_runtime.manifest import Geometry
from cfack_runtime.progress import ProgressCallback, no_progress
from cfack_runtime.tokenizer import CaptionTokenizer

_FORMAT = 1

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Inputs:
    """Everything that a precision is tried on. Made by `gate_inputs`."""

    geometry: Geometry
    rows: Rows
    sample: SplitSample | None

    def key(self, source: str) -> str:
        """Hash of all of it and of what makes the reference: equal keys, equal references.

        Args:
            source: what computes the reference: a hash of weights, names and versions of libraries.
        """
        parts = (_FORMAT, source, self.geometry, self.rows.sha256(), self.sample and self.sample.sha256)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Reference:
    """The outputs that the inputs must give. Made by `compute_reference` or `load_reference`."""

    name: str
    """For example "PyTorch 2.9.0 (CPU, float32)"."""
    inputs: Inputs
    arrays: Arrays
    """image_embedding (I, D), image_tokens (I, 1+N, C), text_embedding (R, D), text_tokens (R, L, C),
    match_logits (R, I, 2), which is NaN for captions that meet no image; and of the sample
    sample_image_embedding (G, D), sample_text_embedding (Q, D), sample_match_logits (Q', K, 2)."""

    @property
    def tokens(self) -> Tokens:
        """What pairs are made of."""
        return Tokens(self.arrays["text_tokens"], self.arrays["image_tokens"])

    def rankings(self) -> tuple[Ranking, Ranking | None]:
        """The sample's rankings: of the dual encoder, and re-ranked if anything is."""
        dual = dual_ranking(self.arrays["sample_text_embedding"], self.arrays["sample_image_embedding"])
        if "sample_match_logits" not in self.arrays:
            return dual, None
        return dual, reranked_ranking(dual, self.arrays["sample_match_logits"])

    def save(self, path: str | Path, key: str) -> None:
        """Write it as an .npz file, for `load_reference` with the same key."""
        header = np.array([key, self.name])
        np.savez(path, allow_pickle=False, header=header, **self.arrays)


def gate_inputs(geometry: Geometry, tokenizer: CaptionTokenizer, sample: SplitSample | None) -> Inputs:
    """Collect what a model of these sizes is tried on; without a sample, no retrieval is measured."""
    return Inputs(geometry, make_rows(geometry, tokenizer), sample)


def compute_reference(
    name: str, graphs: Mapping[str, Run], inputs: Inputs, *, progress: ProgressCallback = no_progress
) -> Reference:
    """Compute what must come out. Every row is run alone, free of its company and of padding.

    Args:
        name: what computes it.
        graphs: the three graphs of the contract.
        inputs: what they are tried on.
        progress: counts images, captions and re-ranked queries of the sample.

    Raises:
        ParityError: an output of the reference is no number.
    """
    arrays = _rows(graphs, inputs.rows)
    if inputs.sample is not None:
        arrays |= _sample(graphs, inputs.geometry, inputs.sample, progress)
    return Reference(name, inputs, arrays)


def load_reference(path: str | Path, inputs: Inputs, key: str) -> Reference:
    """Read what `Reference.save` wrote.

    Raises:
        UsageError: it belongs to other inputs or another source.
    """
    with np.load(path, allow_pickle=False) as stored:
        saved, name = stored["header"].tolist()
        if saved != key:
            raise UsageError(f"{path}: is the reference of other weights or data; compute it again")
        arrays = {field: stored[field] for field in stored.files if field != "header"}
    return Reference(name, inputs, arrays)


def _rows(graphs: Mapping[str, Run], rows: Rows) -> dict[str, NDArray[np.float32]]:
    images = [graphs[IMAGE_ENCODER]({"pixels": rows.pixels[i : i + 1]}) for i in range(len(rows.pixels))]
    texts = []
    for row, length in enumerate(rows.lengths):
        feed = {
            "input_ids": rows.input_ids[row : row + 1, :length],
            "attention_mask": rows.attention_mask[row : row + 1, :length],
        }
        texts.append(graphs[TEXT_ENCODER](feed))
    longest = rows.input_ids.shape[1]
    arrays = {
        name: np.concatenate([np.asarray(image[name], np.float32) for image in images])
        for name in ("image_embedding", "image_tokens")
    }
    arrays["text_embedding"] = np.concatenate([np.asarray(text["text_embedding"]) for text in texts])
    arrays["text_tokens"] = np.concatenate(
        [_padded(np.asarray(text["text_tokens"], np.float32), longest) for text in texts]
    )
    arrays["match_logits"] = np.full((len(texts), len(images), 2), np.nan, np.float32)
    for row in rows.pair_texts:
        length = rows.lengths[row]
        for image in range(len(images)):
            feed = {
                "text_tokens": arrays["text_tokens"][row : row + 1, :length],
                "attention_mask": rows.attention_mask[row : row + 1, :length],
                "image_tokens": arrays["image_tokens"][image : image + 1],
            }
            arrays["match_logits"][row, image] = graphs[RERANKER](feed)["match_logits"][0]
    return arrays


def _sample(
    graphs: Mapping[str, Run], geometry: Geometry, sample: SplitSample, progress: ProgressCallback
) -> dict[str, NDArray[np.float32]]:
    encoded = len(sample.paths) + len(sample.captions)
    total = encoded + sample.reranked_queries
    size = (geometry.image_height, geometry.image_width)
    features = encode_sample(graphs, sample, size, progress=lambda done, _of, /: progress(done, total))
    arrays = {
        "sample_image_embedding": features.image_embeddings,
        "sample_text_embedding": features.text_embeddings,
    }
    if sample.reranked_queries:
        order = dual_ranking(features.text_embeddings, features.image_embeddings).order
        arrays["sample_match_logits"] = match_candidates(
            graphs[RERANKER],
            features.image_tokens,
            features.text_tokens,
            sample.attention_mask,
            order[: sample.reranked_queries, : sample.candidates],
            progress=lambda done, _of, /: progress(encoded + done, total),
        )
    return arrays


def _padded(tokens: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """(1, t, C) to (1, length, C), with zeros."""
    return np.pad(tokens, ((0, 0), (0, length - tokens.shape[1]), (0, 0)))
