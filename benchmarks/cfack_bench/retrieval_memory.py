"""Resident memory while a gallery of 20,000 images with tokens is searched.

python -m cfack_bench.retrieval_memory --work bench-base
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
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
from cfack_runtime.graph_contract import ONE_TEXT
from cfack_runtime.manifest import FileEntry
from cfack_runtime.ranking import top_k
from cfack_runtime.rerank import Reranker
from cfack_runtime.rerank_candidates import match_candidates
from cfack_runtime.rerank_plan import PairCost
from cfack_runtime.rerank_tokens import TokenCache

_PRECISIONS = ("fp32", "int8-cpu")
_DIM, _SEARCHES, _CANDIDATES, _LENGTH = 256, 6, 128, 24
_WRITTEN = 64 << 20
_ROOM = 1.1


def searching_memory(work: Path, threads: int, *, images: int = 20_000, real: bool = True) -> dict[str, Any]:
    """Search by random embeddings, re-ranking 128 each time, with the graph for single queries.

    What is reported is the largest growth, of all precisions, since a graph was loaded and matched one pair.

    Args:
        work: folder with a folder of graphs for each precision; the gallery is written here and removed.
        threads: of ONNX Runtime.
        images: in the gallery.
        real: write the tokens, 17.7 GB at base size and 20,000 images, where the disk has room; if not, their
            file is never written to (sparse): reading it takes the same memory, and no disk.
    """
    rng = np.random.default_rng(0)
    growth: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=work) as folder:
        shape = _token_shape(work, threads)
        size = images * shape.count * shape.width * 2
        real = real and shutil.disk_usage(work).free > _ROOM * size
        _write_gallery(Path(folder), images, shape, rng, real=real)
        for precision in _PRECISIONS:
            # In a process of its own: what one search gave back would hide the growth of the next.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                grown = fresh.submit(_growth, work / precision, threads, Path(folder), shape).result()
            growth[precision] = grown / 1e6
    return {
        "images": images,
        "token_bytes": size,
        "searches": _SEARCHES,
        "growth_mb": max(growth.values()),
        "growth_mb_by_precision": growth,
        "note": f"{size / 1e9:.1f} GB, " + ("real file" if real else "sparse file"),
    }


def _growth(graphs: Path, threads: int, folder: Path, shape: TokenShape) -> int:
    """Bytes by which this process grows while it opens and searches the gallery."""
    rng = np.random.default_rng(1)
    backend = open_backend(graphs / f"{ONE_TEXT}.onnx", threads=threads)
    try:
        width = int(backend.inputs[0].shape[-1])
        reranker, cache = Reranker(backend, backend), TokenCache()
        cost = PairCost(shape.count, width, shape.width, folded=True)
        tokens, mask = rng.standard_normal((1, _LENGTH, width), np.float32), np.ones((1, _LENGTH), np.int64)
        reranker.match(tokens, mask, np.zeros((1, shape.count, shape.width), np.float32))
        before, largest = _resident(), 0
        gallery = Gallery.open(folder)
        for _ in range(_SEARCHES):
            query = _unit(rng.standard_normal((1, _DIM), np.float32))
            found = top_k(query, gallery.embeddings, _CANDIDATES)
            match_candidates(
                reranker,
                EncodedTexts(query, tokens, mask),
                list(found.indices),
                lambda wanted: cache.read(gallery, wanted),
                cost,
            )
            largest = max(largest, _resident())
        return largest - before
    finally:
        backend.close()


def _token_shape(work: Path, threads: int) -> TokenShape:
    backend = open_backend(work / _PRECISIONS[-1] / f"{ONE_TEXT}.onnx", threads=threads)
    try:
        (images,) = (spec for spec in backend.inputs if spec.name == "image_tokens")
        return TokenShape(int(images.shape[1]), int(images.shape[2]))
    finally:
        backend.close()


def _write_gallery(
    folder: Path, images: int, shape: TokenShape, rng: np.random.Generator, *, real: bool
) -> None:
    name = "000000-00000000"
    segment = folder / "segments" / name
    segment.mkdir(parents=True)
    embeddings = _unit(rng.standard_normal((images, _DIM), np.float32))
    (segment / "embeddings.f32").write_bytes(embeddings.tobytes())
    (segment / "images.jsonl").write_bytes(
        b"".join(image_line(GalleryImage(f"{number}.jpg", 0, 0, {})) for number in range(images))
    )
    with (segment / "tokens.f16").open("wb") as stream:
        row = shape.count * shape.width * 2
        if real:
            rows = max(1, _WRITTEN // row)
            block = rng.standard_normal((rows, row // 2), np.float32).astype(np.float16)
            for start in range(0, images, rows):
                stream.write(block[: images - start].tobytes())
        stream.truncate(images * row)
    files = []
    for file in ("images.jsonl", "embeddings.f32", "tokens.f16"):
        # The tokens are too large to hash for nothing, and no reader does.
        digest = hashlib.sha256(b"").hexdigest() if file == "tokens.f16" else sha256_file(segment / file)
        files.append(FileEntry(file, digest, (segment / file).stat().st_size))
    identity = Identity("0" * 64, _DIM, shape, str(folder), str(folder))
    index = GalleryIndex(identity, (Segment(name, images, "fp32", tuple(files), Layout("fp32", "fp16")),))
    (folder / "gallery.json").write_bytes(index_bytes(index))


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def _resident() -> int:
    """Bytes of this process in main memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def main() -> None:
    """Measure as the arguments say and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="Folder with graphs.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--tokens", choices=["real", "sparse"], default="real")
    chosen = parser.parse_args()
    measured = searching_memory(
        chosen.work, chosen.threads, images=chosen.images, real=chosen.tokens == "real"
    )
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
