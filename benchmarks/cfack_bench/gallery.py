"""A gallery of random vectors, written by the runtime's own writer.

Neither search nor re-ranking takes longer or shorter for other values, so that measuring needs no images.

Shapes: G images, N patches, C token width, D embedding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.bundle import Bundle
from cfack_runtime.gallery_index import GalleryImage, Identity, TokenShape
from cfack_runtime.gallery_writer import GalleryWriter

_BLOCK = 32


def random_embeddings(count: int, width: int, seed: int) -> NDArray[np.float32]:
    """(count, width) float32, unit length."""
    values = np.random.default_rng(seed).standard_normal((count, width), dtype=np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values


def write_random_gallery(bundle: Bundle, out: Path, count: int, seed: int) -> Path:
    """Write a gallery of `count` images with tokens that belongs to a bundle; takes G (1+N) C 2 bytes."""
    geometry = bundle.manifest.geometry
    shape = TokenShape(geometry.image_token_count, geometry.image_token_width)
    identity = Identity(bundle.embedding_space, geometry.embed_dim, shape, str(bundle.path), str(out))
    embeddings = random_embeddings(count, geometry.embed_dim, seed)
    draw = np.random.default_rng(seed)
    # One block of tokens serves all: random numbers by the gigabyte take longer than the benchmark.
    tokens = draw.standard_normal((_BLOCK, shape.count, shape.width), dtype=np.float32).astype(np.float16)
    with GalleryWriter(out, identity, "fp32") as writer:
        for start in range(0, count, _BLOCK):
            rows = range(start, min(start + _BLOCK, count))
            images = [GalleryImage(f"{row:08d}.jpg", 1, 0, {}) for row in rows]
            writer.add(embeddings[start : start + len(rows)], tokens[: len(rows)], images)
    return out
