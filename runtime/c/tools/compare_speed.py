"""Time libcfack against the Python runtime on one bundle.

    python compare_speed.py BUNDLE LIBCFACK.so LIBONNXRUNTIME.so [THREADS]

The two take turns, in one process with one ONNX Runtime library, and the fastest of some rounds counts;
opening the bundle is timed once each. Prints a line for each task: what, milliseconds in C, in Python, and
their ratio.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cfack_runtime.images import load_image
from cfack_runtime.retriever import Retriever

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "c"))
import capi

ROUNDS = 7
CAPTION = "a young woman with long dark hair in a red coat and blue jeans, carrying a white shoulder bag"
CAPTIONS = [" ".join(CAPTION.split()[:words]) for words in range(3, 19)]


class Runtime:
    """One bundle in libcfack, as the tests call it."""

    def __init__(self, library: str, bundle: str, onnxruntime: str, threads: int) -> None:
        self._library = capi.Library(Path(library))
        self.bundle = self._library.open(
            "bundle", Path(bundle), threads=threads, onnxruntime=onnxruntime.encode()
        )

    def gallery(self, path: Path) -> Any:
        """Open a gallery."""
        return self._library.open("gallery", path)

    def encode_texts(self, texts: list[str], dim: int) -> None:
        """Encode captions into `dim` floats each."""
        self._library.encode_texts(self.bundle, texts, dim)

    def encode_files(self, files: list[Path], dim: int) -> None:
        """The same of files, decoding included."""
        images = self._library.images(self.bundle, files)
        self._library.encode_images(self.bundle, images, len(files), dim)
        self._library.c.cfack_images_free(images)

    def search(self, gallery: Any, query: str, rerank: int) -> None:
        """One query."""
        self._library.search(self.bundle, gallery, [query], rerank=rerank)


def compare(what: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """Take turns and print the fastest round of each."""
    best = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for side, work in enumerate((ours, theirs)):
            start = time.perf_counter()
            work()
            best[side] = min(best[side], (time.perf_counter() - start) * 1000)
    print(f"{what:32} {best[0]:10.1f} {best[1]:10.1f} {best[0] / best[1]:7.2f}")


def main(bundle: str, library: str, onnxruntime: str, threads: str = "0") -> None:
    """Time opening, encoding and searching."""
    began = time.perf_counter()
    ours = Runtime(library, bundle, onnxruntime, int(threads))
    opened = time.perf_counter()
    with (
        Retriever.open(bundle, threads=int(threads) or None, warm_up=False) as theirs,
        tempfile.TemporaryDirectory() as folder,
    ):
        print(f"{'':32} {'C ms':>10} {'Python ms':>10} {'ratio':>7}")
        seconds = (opened - began, time.perf_counter() - opened)
        print(
            f"{'open':32} {seconds[0] * 1000:10.1f} {seconds[1] * 1000:10.1f} {seconds[0] / seconds[1]:7.2f}"
        )
        geometry = theirs.bundle.manifest.geometry
        generator = np.random.default_rng(0)
        photos = Path(folder) / "photos"
        photos.mkdir()
        files = [photos / f"{i}.jpg" for i in range(16)]
        for file in files:
            noise = generator.integers(0, 256, (16, 8, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((128, 256), Image.Resampling.BICUBIC).save(file)
        dim = geometry.embed_dim

        def encode_files(some: list[Path]) -> None:
            pixels = [load_image(file, geometry.image_height, geometry.image_width) for file in some]
            theirs.image_encoder.encode(np.stack(pixels))

        for texts in (CAPTIONS[-1:], CAPTIONS):
            what = f"encode {len(texts)} captions"
            compare(what, partial(ours.encode_texts, texts, dim), partial(theirs.text_encoder.encode, texts))
        for some in (files[:1], files[:8]):
            what = f"decode and encode {len(some)} images"
            compare(what, partial(ours.encode_files, some, dim), partial(encode_files, some))
        gallery = theirs.index(photos, Path(folder) / "gallery")
        same = ours.gallery(Path(folder) / "gallery")
        for rerank in (0, 16):
            what = f"search 16 images, {rerank} re-ranked"
            python = partial(theirs.search, gallery, CAPTION, rerank=rerank)
            compare(what, partial(ours.search, same, CAPTION, rerank), python)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of NumPy; ONNX Runtime has threads of its own
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:])
