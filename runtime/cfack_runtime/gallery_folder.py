"""A gallery's folder as a writer finds it: may it write there, alone, and what did the last one leave?"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from cfack_runtime.errors import EmbeddingSpaceError, GalleryError, UsageError
from cfack_runtime.gallery_index import INDEX_NAME, SEGMENTS, Identity, Segment
from cfack_runtime.gallery_layout import EMBEDDING_KINDS, TOKEN_KINDS, Layout

LOCK_NAME = ".lock"


def lock_folder(path: Path) -> IO[bytes]:
    """Make the folder if need be, and keep other writers out until the returned file is closed.

    The system gives the lock back when the process ends, however it ends.

    Raises:
        GalleryError: the folder holds something that is no gallery, cannot be written, or another process
            is writing.
    """
    if path.exists() and not path.is_dir():
        raise GalleryError(f"{path}: is a file; give the gallery another path")
    ours = {LOCK_NAME, SEGMENTS, INDEX_NAME}
    if path.is_dir() and not (path / INDEX_NAME).exists():
        foreign = sorted(entry.name for entry in path.iterdir() if entry.name not in ours)
        foreign = [name for name in foreign if not name.startswith(f".{INDEX_NAME}.")]
        if foreign:
            raise GalleryError(
                f"{path}: is no gallery and not empty (it holds {foreign[0]!r}); choose another folder"
            )
    while True:
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = (path / LOCK_NAME).open("ab")
        except OSError as error:
            raise GalleryError(f"{path}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            if isinstance(error, BlockingIOError):
                raise GalleryError(
                    f"{path}: another process is writing to it; wait until it has ended"
                ) from error
            raise GalleryError(f"{path}: cannot be locked for writing: {error.strerror}") from error
        if _is_there(path / LOCK_NAME, lock):
            return lock
        lock.close()  # a writer that had nothing to keep removed the folder between the two calls


def _is_there(path: Path, lock: IO[bytes]) -> bool:
    """Whether an open file is the one that others would open."""
    try:
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except OSError:
        return False


def choose_layout(
    gallery: Path,
    segments: Sequence[Segment],
    identity: Identity,
    embeddings: str | None,
    tokens: str | None,
) -> Layout:
    """How new images keep their numbers: as the others do.

    Args:
        gallery: the gallery's folder.
        segments: its segments.
        identity: says whether there are tokens.
        embeddings: what is asked for; None: nothing.
        tokens: what is asked for; None: nothing.

    Raises:
        UsageError: there is no such kind.
        GalleryError: another kind is asked for than the gallery has.
    """
    for kind, kinds, name in ((embeddings, EMBEDDING_KINDS, "embeddings"), (tokens, TOKEN_KINDS, "tokens")):
        if kind is not None and kind not in kinds:
            raise UsageError(f"{name} {kind!r}: a gallery keeps {' or '.join(kinds)}")
    if not segments:
        return Layout(embeddings or "fp32", (tokens or "fp16") if identity.image_tokens else None)
    has = segments[-1].layout
    for name, wanted, found in (("embeddings", embeddings, has.embeddings), ("tokens", tokens, has.tokens)):
        if wanted not in (None, found):
            raise GalleryError(
                f"{gallery}: keeps {name} in {found}, not in {wanted}; ask for the same again, or give "
                "another gallery (--out)"
            )
    return has


def require_same(gallery: Path, found: Identity, wanted: Identity) -> None:
    """Check that new images may join the ones that are there.

    Raises:
        EmbeddingSpaceError: they are of another model.
        GalleryError: they are of another folder, or tokens are kept on one side only.
    """
    require_same_space(gallery, found, wanted.embedding_space, wanted.bundle)
    if found.root != wanted.root:
        raise GalleryError(
            f"{gallery}: holds the images of {found.root}, not of {wanted.root}; give another gallery (--out)"
        )
    if found.image_tokens != wanted.image_tokens:
        has = "no image tokens" if found.image_tokens is None else "image tokens"
        raise GalleryError(
            f"{gallery}: was made with {has}, which holds for all of its images; ask for the same again "
            "(--tokens none or not), or give another gallery (--out)"
        )


def require_same_space(gallery: Path, found: Identity, embedding_space: str, bundle: str | Path) -> None:
    """Check that a bundle's embeddings may be compared with a gallery's.

    Raises:
        EmbeddingSpaceError: they may not.
    """
    if found.embedding_space != embedding_space:
        raise EmbeddingSpaceError(
            f"{gallery}: was indexed by {found.bundle} (embedding space {found.embedding_space[:12]}), but "
            f"{bundle} has embedding space {embedding_space[:12]}: scores between them mean nothing. Use the "
            f"bundle that made the gallery, or index again: cfack index {found.root} --bundle {bundle} "
            "--out NEW_GALLERY"
        )


def remove_leftovers(gallery: Path, listed: Iterable[str]) -> None:
    """Remove what a killed writer left: segments that are not listed, and temporary files."""
    keep = set(listed)
    if (gallery / SEGMENTS).is_dir():
        for folder in (gallery / SEGMENTS).iterdir():
            if folder.name not in keep:
                shutil.rmtree(folder, ignore_errors=True)
    for leftover in gallery.glob(f".{INDEX_NAME}.*.tmp"):
        leftover.unlink(missing_ok=True)


def remove_unused(gallery: Path) -> None:
    """Remove a folder to which no image was ever committed."""
    if (gallery / INDEX_NAME).exists():
        return
    remove_leftovers(gallery, ())
    with suppress(OSError):  # somebody has put something there meanwhile
        (gallery / LOCK_NAME).unlink(missing_ok=True)
        if (gallery / SEGMENTS).is_dir():
            (gallery / SEGMENTS).rmdir()
        gallery.rmdir()
