"""A folder to work in that does not stay for ever: what a killed process left, the next one removes."""

from __future__ import annotations

import fcntl
import glob
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from cfack_runtime.errors import UsageError

_MARK = "running"


@contextmanager
def scratch_folder(parent: Path, prefix: str, remedy: str) -> Iterator[Path]:
    """Make a folder for the time of the block; it is removed with all that is in it.

    Those with the same prefix whose process is gone are removed first. A process holds a lock in its folder,
    which the system gives back however the process ends: the folder of a running one is never touched.

    Args:
        parent: where; made if need be.
        prefix: of the folder's name.
        remedy: what to do if nothing can be written there, for the message.

    Raises:
        UsageError: nothing can be written there.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(parent, prefix)
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
        mark = _mark(folder)
    except OSError as error:
        raise UsageError(f"{parent}: takes no files ({error.strerror}); {remedy}") from error
    try:
        with mark:
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _mark(folder: Path) -> IO[bytes]:
    """Lock a file of the folder. It gets its name when it is locked, so that nobody finds it unlocked."""
    unnamed = folder / f"{_MARK}.new"
    mark = unnamed.open("xb")
    with suppress(OSError):  # a file system without locks: nobody will know that the folder may go
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(folder / _MARK)
    return mark


def _remove_abandoned(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{glob.escape(prefix)}*"):
        try:
            with (folder / _MARK).open("r+b") as mark:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # in use, or none of ours
