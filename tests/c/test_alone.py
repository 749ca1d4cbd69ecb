"""A machine without Python, and one where nothing can be written: the example in a root of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import capi

QUERIES = ["a person in a red coat", "blue"]
PROGRAM = capi.BUILD / "examples" / "cfack_search"


def _run(*command: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, **options)


def _unshare(*options: str) -> list[str]:
    """What gives a command a user namespace of its own, in which it may change root and mounts."""
    command = ["unshare", "--map-root-user", *options]
    done = _run(*command, "true")
    if done.returncode != 0:
        pytest.skip(f"this kernel lets nobody have a namespace: {done.stderr.strip()}")
    return command


def _needed(*files: Path) -> set[Path]:
    """Shared libraries of programs, and the loader."""
    paths = ":".join(["", *capi.unpacked_libraries()])
    environment = {**os.environ, "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "") + paths}
    listing = _run("ldd", *files, env=environment).stdout
    assert "not found" not in listing
    return {Path(path) for path in re.findall(r"(?:=> |\t)(/.+?) \(0x", listing)}


@pytest.fixture
def machine(toy_bundle: Path, photos: Path, tmp_path: Path) -> Path:
    """A root with nothing in it but what a program needs."""
    root = tmp_path / "machine"
    library = Path(capi.onnxruntime_library())
    for needed in _needed(PROGRAM, library):
        # Everything lies in /lib but the loader, whose place is written in every program.
        folder = needed.parent if needed.name.startswith("ld-linux") else Path("/lib")
        (root / folder.relative_to("/")).mkdir(parents=True, exist_ok=True)
        shutil.copy(needed, root / folder.relative_to("/"))
    (root / "proc").mkdir()  # ONNX Runtime asks what processor there is
    (root / "proc" / "cpuinfo").write_text(Path("/proc/cpuinfo").read_text())
    shutil.copy(library, root / "lib" / "libonnxruntime.so.1")
    shutil.copy(PROGRAM, root / "search")
    shutil.copytree(toy_bundle, root / "bundle.cfack")
    shutil.copytree(photos, root / "photos")
    assert not [path for path in root.rglob("*") if "python" in path.name.lower()]
    return root


def test_the_example_prints_what_the_command_prints(machine: Path) -> None:
    command = ["/search", "/bundle.cfack", "/photos", "/gallery", *QUERIES]
    alone = [*_unshare(), "chroot", machine, *command]
    ours = _run(*alone, env={"LD_LIBRARY_PATH": "/lib", "PATH": os.environ["PATH"]})
    assert (ours.returncode, ours.stderr) == (0, "")
    search = [sys.executable, "-m", "cfack", "search", machine / "gallery", *QUERIES]
    theirs = _run(*search, "--bundle", machine / "bundle.cfack")
    assert theirs.returncode == 0, theirs.stderr
    assert ours.stdout == theirs.stdout
    assert len(ours.stdout.splitlines()) > 10


def test_a_folder_that_cannot_be_written_is_searched_and_not_indexed(
    toy_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    library = capi.Library()
    shutil.copytree(toy_bundle, tmp_path / "bundle.cfack")
    bundle = library.open("bundle", tmp_path / "bundle.cfack")
    library.index(bundle, photos, tmp_path / "gallery")
    expected = library.search(bundle, gallery := library.open("gallery", tmp_path / "gallery"), QUERIES)
    library.c.cfack_gallery_free(gallery)
    library.c.cfack_bundle_free(bundle)
    script = f"""
import sys
sys.path.insert(0, {str(Path(capi.__file__).parent)!r})
from pathlib import Path
import capi
library, here = capi.Library(), Path({str(tmp_path)!r})
bundle, gallery = library.open("bundle", here / "bundle.cfack"), library.open("gallery", here / "gallery")
print(library.search(bundle, gallery, {QUERIES!r}))
for name in ("gallery", "another"):
    try:
        library.index(bundle, here / "photos", here / name)
    except capi.LibraryError as error:
        print(error.code, error)
"""
    mount = f"mount --bind '{tmp_path}' '{tmp_path}' && mount -o remount,bind,ro '{tmp_path}' && exec \"$@\""
    done = _run(*_unshare("--mount"), "sh", "-c", mount, "sh", sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    found, *refusals = done.stdout.splitlines()
    assert found == str(expected)
    for line, name in zip(refusals, ("gallery", "another"), strict=True):
        assert line.startswith(f"-5 {tmp_path / name}: cannot be written: Read-only file system")
