"""The engine backends with stand-in headers: what libcfack does around a call of TensorRT is right.

The engines of the stand-in are ONNX files that ONNX Runtime runs, so answers can be compared. Its CUDA
insists that the calling thread has made the GPU its own.
"""

from __future__ import annotations

import ctypes as c
import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfack_runtime.bundle import Bundle
from cfack_runtime.engine import EngineEntry, ShapeRange
from cfack_runtime.engine_files import store_engines
from cfack_runtime.manifest import FileEntry

sys.path.insert(0, str(Path(__file__).parent))
import capi

INVALID, BUNDLE_ERROR, BACKEND_ERROR, MEMORY_ERROR = -1, -4, -7, -8
STAND_IN = capi.ROOT / "runtime" / "c" / "tests" / "engines"
BUILDERS = {"tensorrt": capi.TENSORRT_ENGINES, "tensorrt-rtx": capi.TENSORRT_RTX_ENGINES}
QUERIES = ["a person in a red coat", "blue", "a green person", "red"]
LENGTHS = ((2, 4), (5, 10))


def _profiles(graph: str) -> tuple[Mapping[str, ShapeRange], ...]:
    if graph == "image_encoder":
        return ({"pixels": ShapeRange((1, 12, 8, 3), (8, 12, 8, 3), (32, 12, 8, 3))},)
    found = []
    for low, high in LENGTHS:
        batch = ShapeRange((1, low), (8, high), (64, high))
        if graph == "text_encoder":
            found.append({"input_ids": batch, "attention_mask": batch})
            continue
        tokens = ShapeRange((1, low, 4), (1, high, 4), (64, high, 4))
        images = ShapeRange((1, 4, 4), (32, 4, 4), (256, 4, 4))
        found.append({"text_tokens": tokens, "attention_mask": batch, "image_tokens": images})
    return tuple(found)


def _engine_bytes(onnx: bytes, profiles: tuple[Mapping[str, ShapeRange], ...]) -> bytes:
    lines = [f"profiles {len(profiles)}"]
    for profile in profiles:
        for name, shapes in profile.items():
            ranges = (",".join(map(str, shape)) for shape in (shapes.min, shapes.opt, shapes.max))
            lines.append(f"{name} {' '.join(ranges)}")
    return "\n".join(lines).encode() + b"\n\n" + onnx


@dataclass(frozen=True)
class Engines:
    """The toy bundle with engines; `write` makes one whose entries were changed."""

    library: capi.Library
    folder: Path
    toy: Path

    def write(
        self,
        change: Callable[[EngineEntry], EngineEntry | None] = lambda entry: entry,
        content: Callable[[bytes], bytes] = lambda data: data,
    ) -> Path:
        bundle = Bundle.open(shutil.copytree(self.toy, self.folder / "engines.cfack", dirs_exist_ok=True))
        made = []
        for builder in BUILDERS:
            for graph, entry in bundle.manifest.graphs["fp32"].items():
                data = content(_engine_bytes((bundle.path / entry.file.path).read_bytes(), _profiles(graph)))
                digest = hashlib.sha256(data).hexdigest()
                source = self.folder / f"{digest}.source"
                source.write_bytes(data)
                engine = change(
                    EngineEntry(
                        FileEntry(f"engines/{builder}-{graph}.engine", digest, len(data)),
                        *("fp32", graph, builder, "10.13.2.6", "8.9"),
                        _profiles(graph),
                        entry.file.sha256,
                        "Stand-in GPU",
                        verified=True,
                    )
                )
                if engine is not None:
                    made.append((engine, source))
        return store_engines(bundle, made).path

    def open(self, path: Path, builder: str = "tensorrt", **options: Any) -> c.c_void_p:
        return self.library.open("bundle", path, backend=BUILDERS[builder], **options)

    def refused(self, path: Path, words: str, code: int = BACKEND_ERROR, **options: Any) -> None:
        with pytest.raises(capi.LibraryError, match=words) as caught:
            self.open(path, **options)
        assert caught.value.code == code


@pytest.fixture(scope="module")
def stand_in(need: Callable[..., None]) -> Path:
    need(["cmake", "c++"])
    return capi.built("engines", STAND_IN, ["cfack", "stand_in_nvinfer", "stand_in_cuda"], CFACK_TESTS="OFF")


@pytest.fixture
def engines(
    stand_in: Path, toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engines]:
    c.CDLL(str(stand_in / "libcuda.so.1"))  # stays loaded, and is found by its name from now on
    for variable in ("CFACK_TENSORRT", "CFACK_TENSORRT_RTX"):
        monkeypatch.setenv(variable, str(stand_in / "libnvinfer.so"))
    return Engines(capi.Library(stand_in / "cfack" / "libcfack.so"), tmp_path, toy_bundle)


@pytest.mark.parametrize("builder", BUILDERS)
def test_engines_give_the_answers_of_their_onnx_files(engines: Engines, builder: str, photos: Path) -> None:
    library, files = engines.library, sorted(photos.rglob("*.png"))
    path = engines.write()
    bundle, onnx = engines.open(path, builder), library.open("bundle", path)
    assert library.c.cfack_has_engines(BUILDERS[builder]) == 1
    assert np.array_equal(library.encode_texts(bundle, QUERIES, 3), library.encode_texts(onnx, QUERIES, 3))
    images = library.images(bundle, files)
    ours, theirs = (library.encode_images(b, images, len(files), 3) for b in (bundle, onnx))
    assert np.array_equal(ours, theirs)
    library.c.cfack_images_free(images)
    library.index(bundle, photos, path.parent / "gallery")
    gallery = library.open("gallery", path.parent / "gallery")
    assert library.search(bundle, gallery, QUERIES) == library.search(onnx, gallery, QUERIES)
    # Each thread has a context of its own.
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: library.search(bundle, gallery, QUERIES), range(24)))
    assert all(answer == found[0] for answer in found)
    library.c.cfack_gallery_free(gallery)
    library.c.cfack_bundle_free(onnx)
    library.c.cfack_bundle_free(bundle)


REFUSALS: dict[str, Callable[[EngineEntry], EngineEntry | None]] = {
    "was built by tensorrt 10.12.0.1, but here is 10.13.2.6; run `cfack export --rebuild-engines": lambda e: (
        replace(e, builder_version="10.12.0.1")
    ),
    "was built by tensorrt 10.14, but here": lambda e: replace(
        e, builder_version="10.14", version_compatible=True
    ),
    "compute capability 7.5, but GPU 0 .Stand-in GPU. has 8.9": lambda e: replace(
        e, compute_capability="7.5"
    ),
    "was built on a L4 and for no other GPU": lambda e: replace(e, gpu="L4"),
    "was built without running it": lambda e: replace(e, verified=False),
    "holds no weights": lambda e: replace(e, stripped=True),
    "holds no tensorrt engine of fp32 image_encoder": lambda e: None if e.graph == "image_encoder" else e,
}


@pytest.mark.parametrize("words", REFUSALS)
def test_an_engine_that_may_not_run_here_is_refused(engines: Engines, words: str) -> None:
    engines.refused(engines.write(REFUSALS[words]), words)


@pytest.mark.parametrize(
    "changes",
    [
        {"builder_version": "10.12", "version_compatible": True},
        {"compute_capability": "8.0", "compatibility": "ampere+"},
        {"gpu": "L4", "compatibility": "same-compute-capability"},
        {"gpu": ""},
    ],
)
def test_an_engine_that_is_compatible_runs(engines: Engines, changes: dict[str, Any]) -> None:
    bundle = engines.open(engines.write(lambda entry: replace(entry, **changes)))
    assert engines.library.encode_texts(bundle, ["red"], 3).shape == (1, 3)
    engines.library.c.cfack_bundle_free(bundle)


def test_what_the_library_says_is_in_the_message(engines: Engines) -> None:
    path = engines.write(content=lambda data: b"other" + data)
    engines.refused(path, "TensorRT 10.13.2.6 cannot load the engine: this is no engine$")


def test_a_damaged_engine_never_reaches_the_library(engines: Engines) -> None:
    path = engines.write()
    file = path / "engines" / "tensorrt-image_encoder.engine"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    engines.refused(path, "SHA-256", BUNDLE_ERROR)


def test_an_engine_with_other_profiles_than_the_manifest_says_is_refused(engines: Engines) -> None:
    path = engines.write(content=lambda data: data.replace(b"64,4", b"32,4"))
    engines.refused(path, "the engine has other profiles than the manifest says", BUNDLE_ERROR)


def test_a_text_outside_all_profiles_is_an_error(engines: Engines) -> None:
    def short(entry: EngineEntry) -> EngineEntry:
        return entry if entry.graph == "image_encoder" else replace(entry, profiles=entry.profiles[:1])

    def cut(data: bytes) -> bytes:
        head, _, onnx = data.partition(b"\n\n")
        lines = head.split(b"\n")
        if lines[0] == b"profiles 2":
            lines = [b"profiles 1", *lines[1 : 1 + (len(lines) - 1) // 2]]
        return b"\n".join(lines) + b"\n\n" + onnx

    bundle = engines.open(engines.write(short, cut))
    assert engines.library.encode_texts(bundle, ["red"], 3).shape == (1, 3)
    with pytest.raises(capi.LibraryError, match=r"other sizes than input_ids \(1, 8\)") as caught:
        engines.library.encode_texts(bundle, QUERIES[:1], 3)
    assert caught.value.code == BACKEND_ERROR
    engines.library.c.cfack_bundle_free(bundle)


def test_what_is_not_there_is_named(engines: Engines) -> None:
    path = engines.write()
    engines.refused(
        path, "TensorRT cannot be loaded: .*engine_library", engine_library=b"/nothing/libnvinfer.so"
    )
    no_tensorrt = capi.onnxruntime_library().encode()
    engines.refused(path, "is no TensorRT, it has no getInferLib", engine_library=no_tensorrt)
    engines.refused(path, "cannot use GPU 3: CUDA error 100, it sees no GPU", device=3)
    engines.refused(path, "memory_limit is not for engines", INVALID, memory_limit=1 << 40)


def test_without_the_headers_engines_are_refused(engines: Engines) -> None:
    plain = capi.Library()
    for builder, backend in BUILDERS.items():
        if plain.c.cfack_has_engines(backend):  # built where they are
            continue
        with pytest.raises(capi.LibraryError, match="without the headers of TensorRT") as caught:
            plain.open("bundle", engines.write(), backend=backend)
        assert caught.value.code == BACKEND_ERROR, builder
