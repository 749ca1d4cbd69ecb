"""The files of a bundle: what the manifest notes of them, and the check that they still are so."""

from __future__ import annotations

import shutil
from pathlib import Path

from cfack_runtime.contained import contained_file, is_contained
from cfack_runtime.errors import BundleError
from cfack_runtime.files import sha256_file
from cfack_runtime.manifest import FileEntry


def file_entry(folder: Path, relative: str) -> FileEntry:
    """Describe a finished file below `folder`."""
    path = folder / relative
    return FileEntry(relative, sha256_file(path), path.stat().st_size)


def check_size(folder: Path, entry: FileEntry) -> Path:
    """Check that a file is inside the bundle and has its size; return its absolute path.

    Raises:
        BundleError: it is not.
    """
    path = contained_file(folder, entry.path, BundleError)
    size = path.stat().st_size
    if size != entry.size:
        raise BundleError(
            f"{folder / entry.path}: {size} bytes, but the manifest says {entry.size}; the file was "
            "truncated or exchanged, copy the bundle again"
        )
    return path


def check_hash(folder: Path, entry: FileEntry) -> Path:
    """Check a file's place, size and content; return its absolute path.

    Raises:
        BundleError: one of them is not as the manifest says.
    """
    path = check_size(folder, entry)
    digest = sha256_file(path)
    if digest != entry.sha256:
        raise BundleError(
            f"{folder / entry.path}: SHA-256 is {digest}, but the manifest says {entry.sha256}; the file was "
            "damaged or exchanged, copy the bundle again"
        )
    return path


def copy_into(folder: Path, entry: FileEntry, source: Path) -> None:
    """Copy a file to where a bundle keeps it, and check that it is what was written down.

    Raises:
        BundleError: its place is outside of the bundle, it cannot be written, or it is another file.
    """
    if not is_contained(entry.path):
        raise BundleError(f"{folder}: refuses to write to {entry.path[:200]!r}")
    path = folder / entry.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.resolve().is_relative_to(folder.resolve()):
            shutil.copyfile(source, path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written: {error.strerror}") from error
    check_hash(folder, entry)
