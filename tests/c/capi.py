"""libcfack through ctypes: the ABI as any language sees it."""

from __future__ import annotations

import ctypes as c
import os
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
        ("reserved", c.c_int32),
    ]


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

    def __init__(self) -> None:
        os.environ.setdefault("CFACK_ONNXRUNTIME", onnxruntime_library())
        path = BUILD / "libcfack.so"
        assert path.exists(), f"{path} is not built; run `make c`"
        self.c = c.CDLL(str(path))
        self.c.cfack_last_error.restype = c.c_char_p
        self.c.cfack_results_hit_count.restype = c.c_size_t

    def call(self, name: str, *arguments: Any) -> None:
        code = getattr(self.c, name)(*arguments)
        if code:
            raise LibraryError(code, self.c.cfack_last_error().decode())

    def open(self, kind: str, path: Path) -> c.c_void_p:
        handle = c.c_void_p()
        extra = (None,) if kind == "bundle" else ()
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
        self, bundle: c.c_void_p, gallery: c.c_void_p, queries: list[str], k: int = 10, rerank: int = -1
    ) -> list[list[tuple[str, float, float | None, float | None]]]:
        """Per query: path, score, match logit, match score."""
        results = c.c_void_p()
        options = SearchOptions(c.sizeof(SearchOptions), k, rerank, 0.0, 0, 0)
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


def _strings(texts: list[str]) -> Any:
    return (c.c_char_p * len(texts))(*(text.encode() for text in texts))
