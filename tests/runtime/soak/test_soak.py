"""Threads search while a writer adds, deletes and compacts: right answers, no error, no growth.

Seconds in the suite; the long form runs for `CFACK_SOAK_SECONDS`, 600 if nothing is said.
"""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_check import check_gallery
from cfack_runtime.gallery_index import GalleryImage, Identity, TokenShape
from cfack_runtime.gallery_writer import GalleryWriter
from cfack_runtime.ranking import top_k
from cfack_runtime.retriever import Retriever

WIDTH, SHAPE = 64, TokenShape(5, 1024)
IDENTITY = Identity("a" * 64, WIDTH, SHAPE, "/models/person.cfack", "/photos")
FIXED, BATCH, KEPT = 64, 16, 20
"""Images that always stay; images of a batch; batches that are kept."""
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20 if hasattr(os, "sysconf") else 0.0


def embedding(number: int) -> np.ndarray:
    row = np.random.default_rng(number).standard_normal(WIDTH).astype(np.float32)
    return row / np.linalg.norm(row)


def images(numbers: range) -> tuple[np.ndarray, np.ndarray, list[GalleryImage]]:
    """An image whose number its embedding, its tokens and its metadata tell."""
    tokens = np.stack([np.full((SHAPE.count, SHAPE.width), n % 2000, np.float16) for n in numbers])
    known = [GalleryImage(f"{n}.jpg", 1, 2, {"n": n, "fixed": n < FIXED}) for n in numbers]
    return np.stack([embedding(n) for n in numbers]), tokens, known


class Searchers:
    """Threads that search for images that are always there, each in its own view of the gallery."""

    def __init__(self, path: Path, count: int) -> None:
        self.errors: list[BaseException] = []
        self.searches = 0
        self._path, self._stop = path, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(count)]

    def __enter__(self) -> "Searchers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            gallery = Gallery.open(self._path)
            while not self._stop.is_set():
                self._search(gallery, int(rng.integers(0, FIXED)))
                self.searches += 1
                if rng.random() < 0.3:
                    gallery = gallery.refresh()
                if rng.random() < 0.02:
                    gallery = Gallery.open(self._path)
        except BaseException as error:  # the main thread raises it
            self.errors.append(error)

    def _search(self, gallery: Gallery, number: int) -> None:
        query = embedding(number)[None]
        found = top_k(query, gallery.embeddings, 5)
        best = int(found.indices[0, 0])
        assert gallery.images[best].metadata["n"] == number
        assert found.scores[0, 0] == pytest.approx(1, abs=1e-5)
        rows = gallery.select({"fixed": True})
        assert rows is not None
        assert len(rows) == FIXED
        inside = top_k(query, gallery.embeddings, 3, rows=rows)
        assert int(inside.indices[0, 0]) == best
        tokens = gallery.tokens(found.indices[0])
        numbers = [gallery.images[place].metadata["n"] for place in found.indices[0].tolist()]
        assert tokens[:, 2, 7].tolist() == [n % 2000 for n in numbers]


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_MB


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def churn(path: Path, first: int) -> int:
    """Add, delete and compact once."""
    with GalleryWriter.reopen(path) as writer:
        for _ in range(4):
            writer.add(*images(range(first, first + BATCH)))
            writer.commit()
            first += BATCH
        old = [name for name in writer.images if FIXED <= int(name[:-4]) < first - KEPT * BATCH]
        writer.remove(old)
        writer.set_metadata({f"{first - 1}.jpg": {"n": first - 1, "fixed": False, "late": True}})
        if first % (16 * BATCH) == FIXED % (16 * BATCH):
            writer.compact()
    return first


def soak(path: Path, seconds: float, threads: int) -> None:
    with GalleryWriter(path, IDENTITY, "fp32") as writer:
        writer.add(*images(range(FIXED)))
    first, rounds = FIXED, 0
    memory: list[tuple[float, float]] = []
    files = descriptors()
    with Searchers(path, threads) as searchers:
        began = time.perf_counter()
        while not searchers.errors and ((passed := time.perf_counter() - began) < seconds or rounds < 8):
            first = churn(path, first)
            rounds += 1
            memory.append((passed, resident_mb()))
    if searchers.errors:
        raise searchers.errors[0]
    assert searchers.searches > 20
    gallery = Gallery.open(path)
    left = sorted(int(image.path[:-4]) for image in gallery.images)
    assert left == [*range(FIXED), *range(first - KEPT * BATCH, first)]
    assert check_gallery(path).faults == ()
    del gallery
    assert descriptors() <= files + 1
    # What the beginning takes, caches and arenas, is no growth: the last half is compared with the second
    # quarter.
    resident = [size for _, size in memory]
    early = max(resident[len(resident) // 4 : len(resident) // 2])
    late = float(np.median(resident[len(resident) // 2 :]))
    assert late <= early + 16, f"resident memory grew from {early:.0f} to {late:.0f} MB in {rounds} rounds"


@pytest.fixture(autouse=True)
def _only_where_memory_can_be_read() -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("reads memory and descriptors from /proc")


def test_searching_while_the_gallery_changes(tmp_path: Path) -> None:
    soak(tmp_path / "g", seconds=4, threads=3)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_searching_while_the_gallery_changes_for_ten_minutes(tmp_path: Path) -> None:
    soak(tmp_path / "g", seconds=float(os.environ.get("CFACK_SOAK_SECONDS", "600")), threads=4)


def test_one_retriever_serves_several_threads_while_images_are_indexed(
    toy_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    errors: list[BaseException] = []
    done = threading.Event()

    def search(retriever: Retriever, gallery: Gallery) -> None:
        try:
            while not done.is_set():
                gallery = gallery.refresh()
                hits = retriever.search(gallery, "red", k=2)
                assert [hit.path.name for hit in hits] == ["red.png", "red-bottom.png"]
        except BaseException as error:  # the main thread raises it
            errors.append(error)

    with Retriever.open(toy_bundle, threads=1) as retriever:
        gallery = retriever.index(photos, tmp_path / "g")
        threads = [threading.Thread(target=search, args=(retriever, gallery)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(8):
            (photos / f"copy{number}.png").write_bytes((photos / "blue.png").read_bytes())
            if number % 3 == 2:
                (photos / f"copy{number - 1}.png").unlink()
            gallery = retriever.index(photos, tmp_path / "g")
        done.set()
        for thread in threads:
            thread.join()
    assert not errors, errors[0]
    assert len(gallery) == 5 + 8 - 2
