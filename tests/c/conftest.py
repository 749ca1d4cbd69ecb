"""Everything here needs libcfack or parts of it, which `make c` builds."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from cfack_runtime.errors import ImageError
from cfack_runtime.images import decode_image

IMAGE_ERROR = -3
_HERE = Path(__file__).parent
_TEXT_IMAGE = _HERE.parents[1] / "runtime" / "c" / "tests" / "text_image"

Answers = Callable[[Path, Sequence[object], Sequence[bytes]], list[tuple[int, bytes]]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.c)


@pytest.fixture(scope="session")
def need() -> Callable[..., None]:
    """Ask for programs: without one a test fails under `make c`, and is skipped when it is run by hand."""

    def ask(programs: Iterable[str]) -> None:
        missing = [name for name in programs if shutil.which(name) is None]
        if not missing:
            return
        message = f"{', '.join(missing)} not installed; docs/c-build.md lists what is needed"
        if "CFACK_C_BUILD" in os.environ:
            pytest.fail(message)
        pytest.skip(message)

    return ask


@pytest.fixture(scope="session")
def text_image_build(tmp_path_factory: pytest.TempPathFactory, need: Callable[..., None]) -> Path:
    """A folder with `tokenizer_stdio` and `image_stdio`, which run the C modules on cases from stdin."""
    if given := os.environ.get("CFACK_TEXT_IMAGE_BUILD"):  # built by hand, with sanitizers say
        return Path(given)
    if given := os.environ.get("CFACK_C_BUILD"):  # of the whole library
        return Path(given) / "tests"
    need(["cmake", "c++"])
    build = tmp_path_factory.mktemp("text_image")
    for step in (["cmake", "-S", _TEXT_IMAGE, "-B", build], ["cmake", "--build", build]):
        subprocess.run(step, check=True, stdout=subprocess.DEVNULL)
    return build


@pytest.fixture(scope="session")
def answers() -> Answers:
    """Run a program on cases; returns status and bytes of each."""

    def run(program: Path, arguments: Sequence[object], cases: Sequence[bytes]) -> list[tuple[int, bytes]]:
        data = b"".join(struct.pack("<I", len(case)) + case for case in cases)
        out = subprocess.run(
            [program, *map(str, arguments)], input=data, stdout=subprocess.PIPE, check=True
        ).stdout
        found, at = [], 0
        while at < len(out):
            status, size = struct.unpack_from("<iI", out, at)
            found.append((status, out[at + 8 : at + 8 + size]))
            at += 8 + size
        assert len(found) == len(cases)
        return found

    return run


@pytest.fixture(scope="session")
def same_as_python(text_image_build: Path, answers: Answers) -> Callable[[Sequence[bytes]], int]:
    """Decode image files on both sides; errors are errors on both. Returns how many had pixels."""

    def compare(files: Sequence[bytes]) -> int:
        decoded = 0
        found = answers(text_image_build / "image_stdio", ["decode"], files)
        for data, (status, answer) in zip(files, found, strict=True):
            try:
                expected = np.asarray(decode_image(data))
            except ImageError:
                assert status == IMAGE_ERROR, "C reads what Python refuses"
                continue
            assert status == 0, f"C refuses what Python reads: {answer.decode()}"
            width, height = struct.unpack_from("<ii", answer)
            pixels = np.frombuffer(answer[8:], np.uint8).reshape(height, width, 3)
            assert np.array_equal(pixels, expected)
            decoded += 1
        return decoded

    return compare
