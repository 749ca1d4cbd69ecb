"""Resident memory while a gallery of 20,000 images with tokens is searched."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from cfack_runtime.backends import open_backend
from cfack_runtime.encoders import EncodedTexts
from cfack_runtime.files import sha256_file
from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_index import (
    GalleryImage,
    GalleryIndex,
    Identity,
    Segment,
    TokenShape,
    image_line,
    index_bytes,
)
from cfack_runtime.gallery_layout import Layout
from cfack_runtime.manifest import FileEntry
from cfack_runtime.ranking import top_k
from cfack_runtime.rerank import Reranker
from cfack_runtime.rerank_candidates import match_candidates
from cfack_runtime.rerank_plan import PairCost
from cfack_runtime.rerank_tokens import TokenCache

_IMAGES, _TOKENS, _WIDTH, _DIM = 20_000, 577, 768, 256
_SEARCHES, _CANDIDATES, _LENGTH = 4, 128, 24


def searching_memory(work: Path, threads: int) -> dict[str, Any]:
    """Search by random embeddings, re-ranking 128 each time, with the INT8 graph for single queries.

    The tokens are a file of 17.7 GB that was never written to (sparse): reading it takes the same memory, and
    no disk. What is reported is growth since the graph was loaded and had run once.
    """
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        gallery = _sparse_gallery(Path(folder), rng)
        backend = open_backend(work / "int8-cpu" / "reranker_one_text.onnx", threads=threads)
        reranker, cache = Reranker(backend, backend), TokenCache()
        cost = PairCost(_TOKENS, _WIDTH, _WIDTH, folded=True)
        tokens = rng.standard_normal((1, _LENGTH, _WIDTH), np.float32)
        reranker.match(tokens, np.ones((1, _LENGTH), np.int64), np.zeros((1, _TOKENS, _WIDTH), np.float32))
        before, largest = _resident(), 0
        for _ in range(_SEARCHES):
            query = _unit(rng.standard_normal((1, _DIM), np.float32))
            texts = EncodedTexts(query, tokens, np.ones((1, _LENGTH), np.int64))
            found = top_k(query, gallery.embeddings, _CANDIDATES)
            match_candidates(
                reranker, texts, list(found.indices), lambda wanted: cache.read(gallery, wanted), cost
            )
            largest = max(largest, _resident())
        backend.close()
    return {
        "images": _IMAGES,
        "token_bytes": _IMAGES * _TOKENS * _WIDTH * 2,
        "searches": _SEARCHES,
        "growth_mb": (largest - before) / 1e6,
        "note": "sparse token file",
    }


def _sparse_gallery(folder: Path, rng: np.random.Generator) -> Gallery:
    name = "000000-00000000"
    segment = folder / "segments" / name
    segment.mkdir(parents=True)
    embeddings = _unit(rng.standard_normal((_IMAGES, _DIM), np.float32))
    (segment / "embeddings.f32").write_bytes(embeddings.tobytes())
    (segment / "images.jsonl").write_bytes(
        b"".join(image_line(GalleryImage(f"{number}.jpg", 0, 0, {})) for number in range(_IMAGES))
    )
    with (segment / "tokens.f16").open("wb") as stream:
        stream.truncate(_IMAGES * _TOKENS * _WIDTH * 2)
    files = []
    for file in ("images.jsonl", "embeddings.f32", "tokens.f16"):
        # The tokens are too large to hash for nothing, and no reader does.
        digest = hashlib.sha256(b"").hexdigest() if file == "tokens.f16" else sha256_file(segment / file)
        files.append(FileEntry(file, digest, (segment / file).stat().st_size))
    identity = Identity("0" * 64, _DIM, TokenShape(_TOKENS, _WIDTH), str(folder), str(folder))
    index = GalleryIndex(identity, (Segment(name, _IMAGES, "fp32", tuple(files), Layout("fp32", "fp16")),))
    (folder / "gallery.json").write_bytes(index_bytes(index))
    return Gallery.open(folder)


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def _resident() -> int:
    """Bytes of this process in main memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
