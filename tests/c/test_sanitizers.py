"""libcfack under the sanitizers, and its fuzzers for a few seconds each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import capi

SOURCE = capi.ROOT / "runtime" / "c"
CORPORA = SOURCE / "fuzz" / "corpus"
SECONDS = int(os.environ.get("CFACK_FUZZ_SECONDS", "3"))
HAS_CLANG = shutil.which("clang++") is not None
BUILD = {"CMAKE_BUILD_TYPE": "RelWithDebInfo"}
if HAS_CLANG:  # GCC has the sanitizers too, but no libFuzzer
    BUILD |= {"CMAKE_C_COMPILER": "clang", "CMAKE_CXX_COMPILER": "clang++"}
# ONNX Runtime is not built with the sanitizer, which therefore cannot see what its threads wait for.
THREAD_OPTIONS = {"TSAN_OPTIONS": "ignore_noninstrumented_modules=1 halt_on_error=1"}


@pytest.fixture(scope="module")
def addresses(need: Callable[..., None]) -> Path:
    """A build with the address and undefined-behaviour sanitizers, and the fuzzers where there is clang."""
    need(["cmake"])
    targets = ["unit_test", "api_test", "threads_test"]
    if not HAS_CLANG:
        return capi.built("asan", SOURCE, targets, CFACK_SANITIZE="address,undefined", **BUILD)
    fuzzers = [path.stem for path in sorted((SOURCE / "fuzz").glob("*_fuzz.cpp"))]
    return capi.built("clang", SOURCE, [*targets, *fuzzers], CFACK_FUZZ="ON", **BUILD)


@pytest.fixture(scope="module")
def threads(need: Callable[..., None]) -> Path:
    """A build with the thread sanitizer."""
    need(["cmake"])
    return capi.built("tsan", SOURCE, ["threads_test"], CFACK_SANITIZE="thread", **BUILD)


@pytest.fixture
def gallery(toy_bundle: Path, photos: Path, tmp_path: Path) -> Path:
    library = capi.Library()
    bundle = library.open("bundle", toy_bundle)
    library.index(bundle, photos, tmp_path / "gallery")
    library.c.cfack_bundle_free(bundle)
    return tmp_path / "gallery"


def _silent(*command: Any, **environment: str) -> None:
    capi.Library()  # says where ONNX Runtime is
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Sanitizer" not in done.stderr
    assert "runtime error" not in done.stderr


def test_every_function_under_the_address_sanitizer(
    addresses: Path, write_toy: Callable[..., Path], toy_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    _silent(addresses / "tests" / "unit_test")
    other = write_toy(tmp_path / "other.cfack", checkpoint_sha256="f" * 64)
    _silent(addresses / "tests" / "api_test", toy_bundle, photos, tmp_path, other)


def test_threads_under_both_sanitizers(
    addresses: Path, threads: Path, toy_bundle: Path, gallery: Path
) -> None:
    _silent(addresses / "tests" / "threads_test", toy_bundle, gallery, "red")
    _silent(threads / "tests" / "threads_test", toy_bundle, gallery, "red", **THREAD_OPTIONS)


@pytest.mark.skipif(not HAS_CLANG, reason="clang is not installed, which the fuzzers need: docs/c-build.md")
@pytest.mark.parametrize(
    "name", ["manifest", "gallery", "image_jpeg", "image_png", "text", "text_json", "filter"]
)
def test_fuzzers_find_nothing(addresses: Path, tmp_path: Path, name: str) -> None:
    scratch = tmp_path / "new"
    scratch.mkdir()
    corpus = shutil.copytree(CORPORA / name, tmp_path / "corpus")
    limit = [
        f"-max_total_time={SECONDS}",
        f"-artifact_prefix={tmp_path}/",
        "-rss_limit_mb=2048",
        "-timeout=20",
    ]
    _silent(addresses / "fuzz" / f"{name}_fuzz", *limit, scratch, corpus)
