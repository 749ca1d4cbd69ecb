"""The files of a bundle: what the manifest notes of them, and the check that they still are so."""

from __future__ import annotations

from pathlib import Path

from cfack_runtime.contained import contained_file
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
