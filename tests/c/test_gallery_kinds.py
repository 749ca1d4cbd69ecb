"""Embeddings in 16 bits and tokens in 8, written by libcfack: the bytes that Python writes, its refusals."""

from __future__ import annotations

import ctypes as c
import sys
from pathlib import Path
from typing import Any

import pytest

from cfack_runtime.gallery import Gallery
from cfack_runtime.retriever import Retriever

sys.path.insert(0, str(Path(__file__).parent))
import capi

DEFAULT, FP16, INT8 = 1, 2, 3
"""CFACK_TOKENS_"""
HALF = 2
"""CFACK_EMBEDDINGS_FP16"""
INVALID, GALLERY = -1, -5


@pytest.fixture(scope="module")
def library() -> capi.Library:
    return capi.Library()


def _index(library: capi.Library, bundle: Any, photos: Path, out: Path, size: int = 48, **kinds: int) -> None:
    options = capi.IndexOptions(size, kinds.pop("tokens", DEFAULT), 8, None, None, None, **kinds)
    folders = [str(folder).encode() for folder in (photos, out)]
    library.call("cfack_index_folder", None, bundle, *folders, c.byref(options))


def _numbers(gallery: Path) -> dict[str, bytes]:
    files = sorted(gallery.glob("segments/*/*"))
    return {path.name: path.read_bytes() for path in files if path.name != "images.jsonl"}


@pytest.mark.parametrize("size", [40, 48])
def test_the_kinds_of_a_gallery_are_kept(
    library: capi.Library, toy_bundle: Path, photos: Path, tmp_path: Path, size: int
) -> None:
    bundle = library.open("bundle", toy_bundle)
    out = tmp_path / "gallery"
    with Retriever.open(toy_bundle) as retriever:
        retriever.index(photos, out, tokens="int8", embeddings="fp16", allow_unmeasured=True)
        before = set(out.glob("segments/*"))
        (photos / "fresh.png").write_bytes((photos / "red.png").read_bytes())
        _index(library, bundle, photos, out, size)  # the first header had 40 bytes
        (fresh,) = set(out.glob("segments/*")) - before
        assert {path.name for path in fresh.iterdir()} == {
            "images.jsonl", "embeddings.f16", "tokens.i8", "tokens.scale",
        }  # fmt: skip
        assert retriever.index(photos, out).report.unchanged == len(Gallery.open(out))
    with pytest.raises(capi.LibraryError, match="keeps tokens in int8, not in fp16") as caught:
        _index(library, bundle, photos, out, tokens=FP16)
    assert caught.value.code == GALLERY
    library.c.cfack_bundle_free(bundle)


def test_small_numbers_are_pythons_bytes(
    library: capi.Library, toy_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    bundle = library.open("bundle", toy_bundle)
    _index(library, bundle, photos, tmp_path / "c", tokens=INT8, embeddings=HALF, allow_unmeasured=1)
    with Retriever.open(toy_bundle) as retriever:
        retriever.index(photos, tmp_path / "python", tokens="int8", embeddings="fp16", allow_unmeasured=True)
    assert _numbers(tmp_path / "c") == _numbers(tmp_path / "python")
    library.c.cfack_bundle_free(bundle)


def test_tokens_that_nobody_measured_are_refused(
    library: capi.Library, toy_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    bundle = library.open("bundle", toy_bundle)
    with pytest.raises(capi.LibraryError, match="has not measured them in precision fp32") as caught:
        _index(library, bundle, photos, tmp_path / "gallery", tokens=INT8)
    assert caught.value.code == INVALID
    assert not (tmp_path / "gallery").exists()
    library.c.cfack_bundle_free(bundle)
