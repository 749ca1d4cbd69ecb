"""Both sides of a split through their encoders, in bounded memory.

Shapes: Q queries, G gallery images, T text tokens, N patches, C width, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfack.evaluation.batches import pixel_batches
from cfack.modeling import CFACK, ImageFeatures, normalize_pixels
from cfack_runtime.progress import ProgressCallback, no_progress
from cfack_runtime.tokenizer import CaptionTokenizer

KEPT_TOKEN_BYTES = 2 << 30
"""Image tokens kept in main memory between encoding and re-ranking. At base size an image has 1.8 MB of
them: the test split of CUHK-PEDES makes 5.4 GB, that of ICFG-PEDES 35 GB. What does not fit is encoded a
second time, which costs little beside the pairs that each image is judged in."""


@dataclass(frozen=True)
class EncodedQueries:
    """The captions of a split."""

    embeddings: NDArray[np.float32]
    """(Q, D)."""
    tokens: Tensor
    """(Q, T, C) on the model's device, T the longest caption; zeros behind a shorter one."""
    attention_mask: Tensor
    """(Q, T) int64, there too."""
    lengths: NDArray[np.int64]
    """(Q,): tokens of each caption."""


@dataclass(frozen=True)
class EncodedGallery:
    """The images of a split; their tokens are kept as far as they fit, and made again where not."""

    paths: Sequence[Path]
    batch_size: int
    embeddings: NDArray[np.float32]
    """(G, D)."""
    kept: dict[int, Tensor]
    """First image of a batch -> its tokens (B, 1+N, C) in main memory."""

    def token_batches(self, model: CFACK) -> Iterator[tuple[int, Tensor]]:
        """Go through the image tokens of the gallery, the kept ones first.

        A batch that is encoded again has the images that it had the first time, so its tokens are the same.

        Yields:
            (first image, tokens (B, 1+N, C) on the model's device).
        """
        device = model.temperature.device
        for start, tokens in self.kept.items():
            yield start, tokens.to(device)
        missing = [start for start in range(0, len(self.paths), self.batch_size) if start not in self.kept]
        for start, features in _image_features(model, self.paths, missing, self.batch_size):
            yield start, features.tokens


def encode_gallery(
    model: CFACK,
    paths: Sequence[Path],
    batch_size: int,
    *,
    keep_bytes: int = KEPT_TOKEN_BYTES,
    progress: ProgressCallback = no_progress,
) -> EncodedGallery:
    """Encode images. Call it inside `evaluation_mode`.

    Args:
        model: where it lies, it runs.
        paths: G images, in gallery order.
        batch_size: images per step.
        keep_bytes: main memory for image tokens; 0 where nothing will be re-ranked.
        progress: counts images.

    Raises:
        ImageError: an image cannot be read; the message names it.
    """
    embeddings: list[NDArray[np.float32]] = []
    kept: dict[int, Tensor] = {}
    kept_bytes = 0
    starts = range(0, len(paths), batch_size)
    for start, features in _image_features(model, paths, starts, batch_size):
        embeddings.append(features.embedding.float().cpu().numpy())
        kept_bytes += features.tokens.nbytes
        if kept_bytes <= keep_bytes:
            kept[start] = features.tokens.cpu()
        progress(start + len(features.tokens), len(paths))
    return EncodedGallery(paths, batch_size, np.concatenate(embeddings), kept)


def encode_queries(
    model: CFACK,
    tokenizer: CaptionTokenizer,
    captions: Sequence[str],
    batch_size: int,
    *,
    progress: ProgressCallback = no_progress,
) -> EncodedQueries:
    """Encode captions. Call it inside `evaluation_mode`.

    Their tokens stay on the model's device: at base size 0.12 MB a caption of 40 tokens.

    Args:
        model: where it lies, it runs.
        tokenizer: the model's.
        captions: Q sentences.
        batch_size: captions per step.
        progress: counts captions.

    Raises:
        DataError: a caption is empty; the message shows it.
    """
    device = model.temperature.device
    encoded = tokenizer.encode(captions)
    lengths = encoded.attention_mask.sum(axis=1)
    ids, mask = torch.from_numpy(encoded.input_ids), torch.from_numpy(encoded.attention_mask)
    text = model.config.text
    tokens = torch.zeros(*ids.shape, text.width, device=device)
    embeddings = torch.empty(len(captions), model.config.embed_dim, device=device)
    # By length, so that short captions are not computed as if they were long.
    order = torch.from_numpy(np.argsort(lengths, kind="stable"))
    for start in range(0, len(captions), batch_size):
        rows = order[start : start + batch_size]
        longest = int(lengths[rows[-1]])
        features = model.encode_text(ids[rows, :longest].to(device), mask[rows, :longest].to(device))
        rows = rows.to(device)
        tokens[rows, :longest] = features.tokens.float()
        embeddings[rows] = features.embedding.float()
        progress(start + len(rows), len(captions))
    return EncodedQueries(embeddings.cpu().numpy(), tokens, mask.to(device), lengths)


def _image_features(
    model: CFACK, paths: Sequence[Path], starts: Sequence[int], batch_size: int
) -> Iterator[tuple[int, ImageFeatures]]:
    vision, device = model.config.vision, model.temperature.device
    batches = pixel_batches(paths, starts, batch_size, vision.image_height, vision.image_width)
    for start, pixels in batches:
        yield start, model.encode_image(normalize_pixels(torch.from_numpy(pixels).to(device)))
