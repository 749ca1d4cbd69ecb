"""libcfack through ctypes: the ABI as any language sees it."""

from __future__ import annotations

import ctypes as c
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CFACK_C_BUILD", ROOT / "build" / "c"))


class Hit(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("path", c.c_char_p),
        ("metadata_json", c.c_char_p),
        ("place", c.c_uint64),
        ("rank", c.c_uint64),
        ("match_score", c.c_double),
        ("score", c.c_float),
        ("match_logit", c.c_float),
        ("reranked", c.c_int32),
        ("reserved", c.c_int32),
    ]


class SearchOptions(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("k", c.c_uint64),
        ("rerank", c.c_int64),
        ("min_score", c.c_double),
        ("use_min_score", c.c_int32),
        ("score", c.c_int32),
        ("where", c.c_char_p),
    ]


class BundleOptions(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("backend", c.c_int32),
        ("device", c.c_int32),
        ("precision", c.c_char_p),
        ("threads", c.c_int32),
        ("reserved", c.c_int32),
        ("memory_limit", c.c_uint64),
        ("onnxruntime", c.c_char_p),
        ("engine_library", c.c_char_p),
    ]


class IndexOptions(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("tokens", c.c_int32),
        ("batch_size", c.c_uint32),
        ("progress", c.c_void_p),
        ("skipped", c.c_void_p),
        ("payload", c.c_void_p),
        ("embeddings", c.c_int32),
        ("allow_unmeasured", c.c_int32),
    ]


SCORES = ("logit", "log-odds", "probability")
"""By their number in C."""
CPU, CUDA, TENSORRT, TENSORRT_ENGINES, TENSORRT_RTX_ENGINES = range(5)


def onnxruntime_library() -> str:
    """The shared library inside the installed wheel."""
    folder = Path(onnxruntime.__file__).parent / "capi"
    return str(next(iter(sorted(folder.glob("libonnxruntime.so*")))))


class LibraryError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Library:
    """Calls that raise, and results as Python and NumPy values."""

    def __init__(self, path: Path = BUILD / "libcfack.so") -> None:
        os.environ.setdefault("CFACK_ONNXRUNTIME", onnxruntime_library())
        assert path.exists(), f"{path} is not built; run `make c`"
        self.c = c.CDLL(str(path))
        self.c.cfack_last_error.restype = c.c_char_p
        self.c.cfack_results_hit_count.restype = c.c_size_t

    def call(self, name: str, *arguments: Any) -> None:
        code = getattr(self.c, name)(*arguments)
        if code:
            raise LibraryError(code, self.c.cfack_last_error().decode())

    def open(self, kind: str, path: Path, **options: Any) -> c.c_void_p:
        handle = c.c_void_p()
        given = BundleOptions(c.sizeof(BundleOptions), **options)
        extra = (c.byref(given),) if kind == "bundle" else ()
        self.call(f"cfack_{kind}_open", c.byref(handle), str(path).encode(), *extra)
        return handle

    def encode_texts(self, bundle: c.c_void_p, texts: list[str], dim: int) -> np.ndarray:
        rows = np.empty((len(texts), dim), np.float32)
        self.call(
            "cfack_encode_texts",
            c.c_void_p(rows.ctypes.data),
            bundle,
            _strings(texts),
            c.c_size_t(len(texts)),
        )
        return rows

    def images(self, bundle: c.c_void_p, paths: list[Path]) -> c.c_void_p:
        handle = c.c_void_p()
        self.call("cfack_images_new", c.byref(handle), bundle)
        for path in paths:
            self.call("cfack_images_add_file", handle, str(path).encode())
        return handle

    def encode_images(self, bundle: c.c_void_p, images: c.c_void_p, count: int, dim: int) -> np.ndarray:
        rows = np.empty((count, dim), np.float32)
        self.call("cfack_encode_images", c.c_void_p(rows.ctypes.data), bundle, images)
        return rows

    def index(self, bundle: c.c_void_p, folder: Path, gallery: Path) -> None:
        self.call("cfack_index_folder", None, bundle, str(folder).encode(), str(gallery).encode(), None)

    def search(
        self,
        bundle: c.c_void_p,
        gallery: c.c_void_p,
        queries: list[str],
        k: int = 10,
        rerank: int = -1,
        *,
        min_score: float | None = None,
        score: str = "logit",
        where: str | None = None,
    ) -> list[list[tuple[str, float, float | None, float | None]]]:
        """Per query: path, score, match logit, match score."""
        results = c.c_void_p()
        options = SearchOptions(
            c.sizeof(SearchOptions),
            k,
            rerank,
            min_score or 0.0,
            min_score is not None,
            SCORES.index(score),
            None if where is None else where.encode("utf-8", "surrogateescape"),
        )
        strings, count = _strings(queries), c.c_size_t(len(queries))
        self.call("cfack_search", c.byref(results), bundle, gallery, strings, count, c.byref(options))
        found = []
        for query in range(len(queries)):
            hits = []
            for i in range(self.c.cfack_results_hit_count(results, c.c_size_t(query))):
                hit = Hit(c.sizeof(Hit))
                self.call("cfack_results_get_hit", c.byref(hit), results, c.c_size_t(query), c.c_size_t(i))
                match = (hit.match_logit, hit.match_score) if hit.reranked else (None, None)
                hits.append((hit.path.decode(), hit.score, *match))
            found.append(hits)
        self.c.cfack_results_free(results)
        return found


def built(name: str, source: Path, targets: list[str], **options: object) -> Path:
    """Configure and build something beside the library's own build; what is up to date is not built again."""
    folder = BUILD.parent / f"{BUILD.name}-{name}"
    same = [
        f"-D{name}={_cached(name)}"
        for name in ("ONNXRUNTIME_INCLUDE_DIR", "CMAKE_PREFIX_PATH")
        if _cached(name)
    ]
    settings = [*same, *(f"-D{key}={value}" for key, value in options.items())]
    # CMake forgets settings when it is given another compiler than last time: it then has to begin anew.
    before = folder / "settings.txt"
    is_same = before.exists() and before.read_text() == "\n".join(settings)
    for command in (
        ["cmake", *([] if is_same else ["--fresh"]), "-S", source, "-B", folder, *settings],
        ["cmake", "--build", folder, "--parallel", "2", *(f"--target={target}" for target in targets)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    before.write_text("\n".join(settings))
    return folder


def unpacked_libraries() -> list[str]:
    """Folders of libraries that `make c` unpacked, since the machine lacks them."""
    prefix = _cached("CMAKE_PREFIX_PATH")
    found = sorted(Path(prefix).glob("lib/**/*.so*")) if prefix else []
    return sorted({str(path.parent) for path in found})


def _cached(name: str) -> str:
    lines = (BUILD / "CMakeCache.txt").read_text().splitlines()
    return next((line.partition("=")[2] for line in lines if line.startswith(f"{name}:")), "")


def _strings(texts: list[str]) -> Any:
    return (c.c_char_p * len(texts))(*(text.encode() for text in texts))
