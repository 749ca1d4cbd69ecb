"""The dual encoder's search of a large gallery, against one pass over memory.

    python -m cfack_bench.retrieval_topk --images 1000000 --width 256

Writes a gallery of random unit vectors, opens it, and times one query. The yardstick, this machine's memory
bandwidth, is one pass over as many bytes in memory by the fastest reader of three: a sum in one thread, sums
in two threads, and the product of the whole matrix with a vector by BLAS in all of its threads. All four take
turns; medians are compared. Whoever looks at every embedding once cannot be faster.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_index import GalleryImage, Identity
from cfack_runtime.gallery_writer import GalleryWriter
from cfack_runtime.ranking import top_k

_BATCH = 8192
_PAUSE = 0.1
"""Seconds between calls: the threads of BLAS spin for a while after a product, on the next one's cores."""


@dataclass(frozen=True)
class TopKTimes:
    """Milliseconds are medians of `repeats` calls after one that is not counted."""

    images: int
    width: int
    embeddings: str
    segments: int
    gigabytes: float
    pass_ms: float
    """One pass over the bytes of float32 embeddings in memory."""
    one_query_ms: float
    ratio: float
    """One query against one pass; they were timed in turn, so that both saw the same machine."""
    best_ratio: float
    """The same of the fastest calls, which a machine with other work on it disturbs least."""
    queries_64_ms: float
    filtered_ms: float
    """One query among the tenth of the images that a filter leaves."""
    first_select_s: float
    """Reading the metadata of one field."""
    select_ms: float
    open_s: float
    reopen_writer_s: float
    open_mb: float
    """Growth of the process's resident memory by opening, mapped files included."""


def measure_topk(
    folder: Path,
    images: int,
    width: int,
    *,
    embeddings: str = "fp32",
    segment: int = 65_536,
    repeats: int = 15,
) -> TopKTimes:
    """Write a gallery below `folder` and time searches of it.

    Args:
        folder: an existing folder with room for it.
        images: G.
        width: D.
        embeddings: "fp32" or "fp16".
        segment: images a segment, as `cfack gallery compact` leaves them.
        repeats: timed calls of each kind.
    """
    out = folder / "gallery"
    _write(out, images, width, embeddings, segment)
    before = _resident_mb()
    began = time.perf_counter()
    gallery = Gallery.open(out)
    open_s, grown = time.perf_counter() - began, _resident_mb() - before
    query = _unit_rows(1, width, 1)
    queries = _unit_rows(64, width, 2)
    memory = np.ones((images, width), np.float32)
    halves = np.array_split(memory.reshape(-1), 2)
    with ThreadPoolExecutor(2) as pool:
        one, *passes = _times(
            repeats,
            lambda: top_k(query, gallery.embeddings, 128),
            lambda: memory.sum(),
            lambda: list(pool.map(np.sum, halves)),
            lambda: memory @ query[0],
        )
    one_ms, pass_ms = np.median(one), min(map(np.median, passes))
    began = time.perf_counter()
    rows = gallery.select("camera=3")
    first_select = time.perf_counter() - began
    select, filtered = _medians(
        repeats,
        lambda: gallery.select("camera=3"),
        lambda: top_k(query, gallery.embeddings, 128, rows=rows),
    )
    (many,) = _medians(3, lambda: top_k(queries, gallery.embeddings, 128))
    began = time.perf_counter()
    with GalleryWriter.reopen(out):
        reopen = time.perf_counter() - began
    return TopKTimes(
        images=images,
        width=width,
        embeddings=embeddings,
        segments=len(gallery.segments),
        gigabytes=images * width * 4 / 1e9,
        pass_ms=float(pass_ms),
        one_query_ms=float(one_ms),
        ratio=float(one_ms / pass_ms),
        best_ratio=min(one) / min(map(min, passes)),
        queries_64_ms=many,
        filtered_ms=filtered,
        first_select_s=first_select,
        select_ms=select,
        open_s=open_s,
        reopen_writer_s=reopen,
        open_mb=grown,
    )


def _write(out: Path, images: int, width: int, embeddings: str, segment: int) -> None:
    identity = Identity("a" * 64, width, None, "/bundle", "/photos")
    with GalleryWriter(out, identity, "fp32", embeddings=embeddings) as writer:
        for start in range(0, images, _BATCH):
            count = min(_BATCH, images - start)
            rows = [
                GalleryImage(
                    f"camera{n % 10}/{n:08d}.jpg", 50_000, 1_700_000_000_000_000_000 + n, {"camera": n % 10}
                )
                for n in range(start, start + count)
            ]
            writer.add(_unit_rows(count, width, start), None, rows)
            if writer.pending >= segment:
                writer.commit()


def _unit_rows(count: int, width: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((count, width), dtype=np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _medians(repeats: int, *calls: Callable[[], object]) -> list[float]:
    return [float(np.median(taken)) for taken in _times(repeats, *calls)]


def _times(repeats: int, *calls: Callable[[], object]) -> list[list[float]]:
    """Milliseconds of each call; the calls take turns."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        for taken, call in zip(times, calls, strict=True):
            time.sleep(_PAUSE)
            began = time.perf_counter()
            call()
            if turn:
                taken.append((time.perf_counter() - began) * 1e3)
    return times


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Measure as the arguments say and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--embeddings", choices=["fp32", "fp16"], default="fp32")
    parser.add_argument("--segment", type=int, default=65_536)
    parser.add_argument("--folder", type=Path, help="Where the gallery is written; default: the system's.")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        times = measure_topk(
            Path(folder),
            chosen.images,
            chosen.width,
            embeddings=chosen.embeddings,
            segment=chosen.segment,
        )
    print(json.dumps(asdict(times), indent=1))


if __name__ == "__main__":
    main()
