"""Calls that are wrong: NULL where something must be given, structs whose size says nonsense."""

from __future__ import annotations

import ctypes as c
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import capi

OK, INVALID = 0, -1
HEADER = (capi.ROOT / "runtime" / "c" / "include" / "cfack.h").read_text()
MAY_BE_NULL = {"options", "report"}
LONGEST = 65536
"""The largest size of a struct that is taken for one."""


@dataclass(frozen=True)
class Handles:
    """One of each kind."""

    bundle: c.c_void_p
    images: c.c_void_p
    gallery: c.c_void_p
    writer: c.c_void_p
    results: c.c_void_p


@pytest.fixture(scope="module")
def library() -> capi.Library:
    return capi.Library()


@pytest.fixture
def handles(library: capi.Library, toy_bundle: Path, photos: Path, tmp_path: Path) -> Iterator[Handles]:
    def new(name: str, *arguments: Any) -> c.c_void_p:
        handle = c.c_void_p()
        library.call(f"cfack_{name}", c.byref(handle), *arguments)
        stack.callback(getattr(library.c, f"cfack_{name.partition('_')[0]}_free"), handle)
        return handle

    with ExitStack() as stack:
        bundle = new("bundle_open", str(toy_bundle).encode(), None)
        library.index(bundle, photos, tmp_path / "gallery")
        images = new("images_new", bundle)
        library.call("cfack_images_add_file", images, str(photos / "red.png").encode())
        gallery = new("gallery_open", str(tmp_path / "gallery").encode())
        writer = new("writer_open", str(tmp_path / "written").encode(), bundle, None)
        results = c.c_void_p()
        texts = (c.c_char_p * 1)(b"red")
        library.call("cfack_search", c.byref(results), bundle, gallery, texts, c.c_size_t(1), None)
        stack.callback(library.c.cfack_results_free, results)
        yield Handles(bundle, images, gallery, writer, results)


def _calls(h: Handles) -> dict[str, list[Any]]:
    """Arguments for every function that returns a status; `anything` is room, or is not looked at."""
    anything, one, zero = (c.c_char * LONGEST)(), c.c_size_t(1), c.c_uint64(0)
    texts, room, image = (c.c_char_p * 1)(b"red"), (c.c_size_t * 1)(64), c.c_size_t(0)
    return {
        "cfack_bundle_options_init": [anything],
        "cfack_bundle_open": [anything, b"path", None],
        "cfack_bundle_get_info": [anything, h.bundle],
        "cfack_tokenize": [anything, room, h.bundle, b"red"],
        "cfack_encode_texts": [anything, h.bundle, texts, one],
        "cfack_images_new": [anything, h.bundle],
        "cfack_images_add_file": [h.images, b"path"],
        "cfack_images_add_encoded": [h.images, anything, one],
        "cfack_images_add_rgb": [h.images, anything, 4, 4, c.c_size_t(12)],
        "cfack_images_get_pixels": [anything, h.images, image],
        "cfack_encode_images": [anything, h.bundle, h.images],
        "cfack_match_images": [anything, h.bundle, b"red", h.images],
        "cfack_match_score": [anything, h.bundle, 0, anything, c.c_float(0)],
        "cfack_gallery_open": [anything, b"path"],
        "cfack_gallery_get_info": [anything, h.gallery],
        "cfack_gallery_get_image": [anything, h.gallery, zero],
        "cfack_gallery_find": [anything, h.gallery, b"path"],
        "cfack_gallery_get_embedding": [anything, h.gallery, zero],
        "cfack_writer_options_init": [anything],
        "cfack_writer_open": [anything, b"path", h.bundle, None],
        "cfack_writer_add": [h.writer, h.images, anything],
        "cfack_writer_remove": [h.writer, texts, one],
        "cfack_writer_commit": [h.writer],
        "cfack_writer_close": [h.writer],
        "cfack_index_options_init": [anything],
        "cfack_index_folder": [None, h.bundle, b"folder", b"path", None],
        "cfack_search_options_init": [anything],
        "cfack_search": [anything, h.bundle, h.gallery, texts, one, None],
        "cfack_results_get_hit": [anything, h.results, image, image],
    }


def test_null_is_refused_wherever_something_must_be_given(library: capi.Library, handles: Handles) -> None:
    calls = _calls(handles)
    for returns, name, listed in re.findall(r"^CFACK_API (.+?)(cfack_\w+)\(([^;]*)\);", HEADER, re.MULTILINE):
        pointers = [re.split(r"\W+", one)[-1] if "*" in one else None for one in listed.split(",")]
        if not any(pointers):
            continue
        if name not in calls:  # frees, counts and the like take NULL and do nothing
            assert (returns, name) == ("int ", "cfack_results_is_truncated") or returns != "int "
            getattr(library.c, name)(*(None for _ in pointers))
            continue
        for place, pointer in enumerate(pointers):
            if pointer is None or pointer in MAY_BE_NULL - ({"options"} if name.endswith("_init") else set()):
                continue
            given = [None if i == place else argument for i, argument in enumerate(calls[name])]
            with pytest.raises(capi.LibraryError, match=f"^{pointer} is NULL$") as caught:
                library.call(name, *given)
            assert caught.value.code == INVALID, name


def test_null_inside_a_list_is_refused(library: capi.Library, handles: Handles) -> None:
    nothing, one = (c.c_void_p * 1)(), c.c_size_t(1)
    out = (c.c_char * 4096)()
    for name, *arguments in (
        ("cfack_encode_texts", out, handles.bundle, nothing, one),
        ("cfack_search", out, handles.bundle, handles.gallery, nothing, one, None),
        ("cfack_writer_add", handles.writer, handles.images, nothing),
        ("cfack_writer_remove", handles.writer, nothing, one),
    ):
        with pytest.raises(capi.LibraryError, match=" is NULL$") as caught:
            library.call(name, *arguments)
        assert caught.value.code == INVALID, name


Struct = c.Array[c.c_char]


def _sized(size: int, like: Struct | None = None) -> Struct:
    struct: Struct = (c.c_char * (2 * LONGEST))(*(like.raw[:256] if like else b""))
    c.c_size_t.from_buffer(struct).value = size
    return struct


def _options(
    library: capi.Library, h: Handles, toy_bundle: Path, photos: Path, folder: Path
) -> dict[str, tuple[int, Callable[[Struct], int]]]:
    """Each function that takes a struct: the struct's size in the first header, and a call with it."""
    texts, one = (c.c_char_p * 1)(b"red"), c.c_size_t(1)
    bundle, paths = str(toy_bundle).encode(), [str(folder / f"out-{i}").encode() for i in range(100)]

    def freeing(kind: str, *arguments: Any) -> int:
        handle = c.c_void_p()
        function = {"results": "search"}.get(kind, f"{kind}_open")
        status: int = getattr(library.c, f"cfack_{function}")(c.byref(handle), *arguments)
        getattr(library.c, f"cfack_{kind}_free")(handle)
        return status

    return {
        "bundle_options": (48, lambda s: freeing("bundle", bundle, s)),
        "writer_options": (24, lambda s: freeing("writer", paths.pop(), h.bundle, s)),
        "index_options": (
            40,
            lambda s: library.c.cfack_index_folder(None, h.bundle, str(photos).encode(), paths[0], s),
        ),
        "search_options": (40, lambda s: freeing("results", h.bundle, h.gallery, texts, one, s)),
    }


@pytest.mark.parametrize("kind", ["bundle_options", "writer_options", "index_options", "search_options"])
def test_options_of_any_size(
    library: capi.Library, handles: Handles, toy_bundle: Path, photos: Path, tmp_path: Path, kind: str
) -> None:
    first, call = _options(library, handles, toy_bundle, photos, tmp_path)[kind]
    defaults = _sized(0)
    library.call(f"cfack_{kind}_init", defaults)
    size = c.c_size_t.from_buffer(defaults).value
    for wrong in (0, 1, first - 1, LONGEST + 1, 2**64 - 1):
        assert call(_sized(wrong, defaults)) == INVALID
        assert f"size is {wrong}, expected {size}" in library.c.cfack_last_error().decode()
    for known in (first, size, size + 8, LONGEST):
        assert call(_sized(known, defaults)) == OK, library.c.cfack_last_error()
    newer = _sized(size + 8, defaults)
    newer[size + 7] = b"\1"
    assert call(newer) == INVALID
    assert "members that this library does not know" in library.c.cfack_last_error().decode()


def test_what_is_filled_stays_inside_its_size(
    library: capi.Library, handles: Handles, photos: Path, tmp_path: Path
) -> None:
    h, image, place = handles, c.c_size_t(0), c.c_uint64(0)
    folders = [str(photos).encode(), str(tmp_path / "filled").encode()]
    for first, size, call in (
        (72, 88, lambda s: library.c.cfack_bundle_get_info(s, h.bundle)),
        (64, 64, lambda s: library.c.cfack_gallery_get_info(s, h.gallery)),
        (40, 40, lambda s: library.c.cfack_gallery_get_image(s, h.gallery, place)),
        (64, 64, lambda s: library.c.cfack_results_get_hit(s, h.results, image, image)),
        (56, 56, lambda s: library.c.cfack_index_folder(s, h.bundle, *folders, None)),
    ):
        for wrong in (0, first - 1, LONGEST + 1, 2**64 - 1):
            assert call(_sized(wrong)) == INVALID
            assert f"size is {wrong}, expected {size}" in library.c.cfack_last_error().decode()
        for known in (first, size + 24):
            struct: Struct = (c.c_char * 256)(*b"\xab" * 256)
            c.c_size_t.from_buffer(struct).value = known
            assert call(struct) == OK
            assert c.c_size_t.from_buffer(struct).value == known
            assert struct.raw[size:known] == bytes(max(0, known - size))  # what we do not know is zero
            assert struct.raw[known:] == b"\xab" * (256 - known)
