"""Files and folders that are either whole or not there."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cfack_runtime.errors import UsageError

_CHUNK = 1 << 20


def atomic_write(path: str | Path, data: bytes) -> None:
    """Write a file so that a crash leaves the old content or the new one, never a part.

    Args:
        path: the file; its folder must exist.
        data: the whole content.
    """
    path = Path(path)
    temporary = _sibling(path, "tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


@contextmanager
def atomic_folder(path: str | Path, *, overwrite: bool = False, sync: bool = True) -> Iterator[Path]:
    """Fill a temporary folder that takes the name `path` when the block ends without an error.

    An existing folder is swapped for the new one at the very end, in two renames. If the block fails,
    whatever was at `path` stays untouched and the temporary folder is removed.

    Args:
        path: the folder to write; missing parents are made.
        overwrite: replace a folder that holds something. An empty one is always replaced.
        sync: have every file written to the disk before the renaming. Without it a killed process still
            leaves all or nothing, but a power cut may not; for thousands of files that can be made again.

    Yields:
        The temporary folder, beside `path`.

    Raises:
        UsageError: `path` is a file, or a folder that holds something and `overwrite` is off.
    """
    # Resolved, so that a link to a folder keeps pointing where it did.
    path = Path(path).resolve()
    _refuse_to_replace(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _sibling(path, "tmp")
    temporary.mkdir()
    try:
        yield temporary
        if sync:
            for file in sorted(temporary.rglob("*")):
                _sync(file)
            _sync(temporary)
        # Asked again: the block may have taken hours, and something may have appeared meanwhile.
        _refuse_to_replace(path, overwrite)
        _swap(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def move_folder(folder: Path, path: str | Path, *, overwrite: bool = False) -> None:
    """Give a finished folder its name, by the rules of `atomic_folder`.

    Args:
        folder: on the file system of `path`, its files on the disk.
        path: its new name.
        overwrite: replace a folder that holds something. An empty one is always replaced.

    Raises:
        UsageError: `path` is a file, or a folder that holds something and `overwrite` is off.
    """
    path = Path(path).resolve()
    _refuse_to_replace(path, overwrite)
    _swap(folder, path)


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _refuse_to_replace(path: Path, overwrite: bool) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise UsageError(f"{path} is a file, but a folder is to be written there; give another path")
    if not overwrite and any(path.iterdir()):
        raise UsageError(f"{path} exists and is not empty; give another path, or ask for it to be replaced")


def _swap(new: Path, path: Path) -> None:
    """Put `new` where `path` is; put the old folder back if that fails."""
    if not path.exists():
        new.rename(path)
        _sync(path.parent)
        return
    old = _sibling(path, "old")
    path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        old.rename(path)
        raise
    _sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sibling(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{suffix}")


def _sync(path: Path) -> None:
    """Have the system write a file, or a folder's list of names, to the disk."""
    if os.name != "posix" and path.is_dir():
        return  # only POSIX opens folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
