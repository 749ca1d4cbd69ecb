"""What a compiled program relies on: the exported names, the sizes of structs, old and new ones."""

from __future__ import annotations

import ctypes as c
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import capi

HEADER = capi.ROOT / "runtime" / "c" / "include" / "cfack.h"


@pytest.fixture(scope="module")
def library() -> capi.Library:
    return capi.Library()


def test_only_the_api_is_exported() -> None:
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", capi.BUILD / "libcfack.so"], capture_output=True, check=True, text=True
    ).stdout
    names = {line.split()[2] for line in listing.splitlines()}
    declared = set(re.findall(r"^CFACK_API .*?\b(cfack_\w+)\(", HEADER.read_text(), re.MULTILINE))
    assert names == declared


def test_every_function_is_named_in_the_c_test() -> None:
    declared = set(re.findall(r"^CFACK_API .*?\b(cfack_\w+)\(", HEADER.read_text(), re.MULTILINE))
    test = (capi.ROOT / "runtime" / "c" / "tests" / "api_test.c").read_text()
    assert {name for name in declared if f"{name}(" not in test} == set()


def test_the_page_about_the_api_is_up_to_date() -> None:
    script = capi.ROOT / "runtime" / "c" / "tools" / "make_c_api_docs.py"
    assert subprocess.run([sys.executable, script, "--check"]).returncode == 0


def test_structs_have_the_size_that_other_languages_count() -> None:
    assert (c.sizeof(capi.Hit), c.sizeof(capi.SearchOptions), c.sizeof(capi.BundleOptions)) == (64, 48, 56)


def test_structs_of_the_first_header_are_still_taken(
    library: capi.Library, toy_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    bundle = c.c_void_p()
    options = capi.BundleOptions(48)  # without engine_library
    options.engine_library = b"/never/looked/at"
    library.call("cfack_bundle_open", c.byref(bundle), str(toy_bundle).encode(), c.byref(options))
    library.index(bundle, photos, tmp_path / "gallery")
    gallery = library.open("gallery", tmp_path / "gallery")
    search = capi.SearchOptions(40, 3, -1, 0.0, 0, 0)  # without where
    search.where = b"no filter ("
    results, text = c.c_void_p(), (c.c_char_p * 1)(b"red")
    library.call("cfack_search", c.byref(results), bundle, gallery, text, c.c_size_t(1), c.byref(search))
    assert library.c.cfack_results_hit_count(results, c.c_size_t(0)) == 3
    library.c.cfack_results_free(results)
    # What is written stays inside the caller's struct.
    info = (c.c_size_t * 12)(72, *[0xAB] * 11)
    library.call("cfack_bundle_get_info", c.byref(info), bundle)
    assert (info[0], *info[9:]) == (72, 0xAB, 0xAB, 0xAB)
    library.c.cfack_gallery_free(gallery)
    library.c.cfack_bundle_free(bundle)
