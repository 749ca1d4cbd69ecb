"""Finished stages of an export, kept so that the next one does not do the same work again."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

from cfack_export.scratch import scratch_folder
from cfack_runtime.errors import UsageError

_log = logging.getLogger(__name__)

CACHE_LIMIT = 20 << 30
"""Bytes; the stages used longest ago go first. A model of published size with all precisions takes 6 GB."""

# A change in any of these may change what a stage writes.
_TOOLS = ("torch", "timm", "transformers", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "onnxruntime-gpu")
_LIST_NAME = "stage.json"
_MAKING = ".making-"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_OWN_PACKAGES = ("cfack_export", "cfack.modeling", "cfack_runtime")


def default_cache() -> Path:
    """The folder for finished stages: cfack/export in the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "cfack" / "export"


class StageCache:
    """Folders of finished stages, by what went into them.

    A stage's folder appears whole or not at all: a killed export leaves what it had finished, and the next
    one removes the rest.

    Args:
        root: the folder; made when the first stage is done.
        limit: bytes that `prune` leaves.
    """

    def __init__(self, root: Path, limit: int = CACHE_LIMIT) -> None:
        self.root = root
        self._limit = limit
        self.reused: list[str] = []
        """Names of the stages that were there already."""

    def folder(self, name: str, inputs: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
        """Return the folder of a stage, and make it first if it is not there.

        Args:
            name: of the stage, for people.
            inputs: everything that decides what the stage writes, as JSON values: hashes of files, options.
                Versions of the tools and this package's own code are added.
            make: fills an empty folder.

        Raises:
            UsageError: the cache cannot be written, or is full.
        """
        path = self.root / f"{name}-{self.key(name, inputs)}"
        if path.is_dir() and not _is_whole(path):
            _log.warning("%s: the finished stage in %s is damaged and is made again", name, path)
            shutil.rmtree(path)
        if path.is_dir():
            os.utime(path)  # used now: `prune` looks at this
            self.reused.append(name)
            _log.info("%s: reused from %s", name, path)
            return path
        self._make(path, make)
        return path

    def _make(self, path: Path, make: Callable[[Path], None]) -> None:
        remedy = "name another folder with --cache, or go without with --no-cache"
        try:
            with scratch_folder(self.root, _MAKING, remedy) as scratch:
                folder = scratch / path.name
                folder.mkdir()
                make(folder)
                (folder / _LIST_NAME).write_text(json.dumps(_sizes(folder)))
                _move(folder, path)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise UsageError(
                f"{self.root}: no room for a finished stage ({error.strerror}); make room (a model of "
                "published size takes 6 GB) or name another folder with --cache. What was finished before is "
                "kept"
            ) from error

    @staticmethod
    def key(name: str, inputs: Mapping[str, Any]) -> str:
        """32 hexadecimal digits that stand for a stage and all that goes into it."""
        text = json.dumps([name, inputs, tool_versions(), _own_code()], sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def prune(self) -> None:
        """Remove the stages used longest ago until the rest keeps within the limit."""
        if not self.root.is_dir():
            return
        finished = [path for path in self.root.glob("*-*") if not path.name.startswith(_MAKING)]
        folders = sorted(finished, key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for folder in folders:
            total += sum(_sizes(folder).values())
            if total > self._limit:
                shutil.rmtree(folder, ignore_errors=True)


def _move(folder: Path, path: Path) -> None:
    try:
        folder.rename(path)
    except OSError:
        if not _is_whole(path):
            raise
        # Another export has finished the same stage meanwhile.


def _sizes(folder: Path) -> dict[str, int]:
    """The files that a stage has made; folders in it are the work of a stage that reads them now."""
    return {
        file.name: file.stat().st_size
        for file in sorted(folder.iterdir())
        if file.is_file() and file.name != _LIST_NAME
    }


def _is_whole(folder: Path) -> bool:
    """Whether a stage has the files that it had when it was finished, each with its size.

    Stages are not forced to the disk one by one: a power cut may leave empty files under a finished name.
    """
    try:
        listed = json.loads((folder / _LIST_NAME).read_text())
    except (OSError, ValueError):
        return False
    return bool(listed == _sizes(folder))


@cache
def tool_versions() -> dict[str, str]:
    """Versions of the libraries that an export goes through, those that are installed."""
    found = {}
    for name in _TOOLS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def _own_code() -> str:
    """Hash of the source of the packages that do the work; a version number would miss a local change."""
    digest = hashlib.sha256()
    for name in _OWN_PACKAGES:
        spec = util.find_spec(name)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        for root in spec.submodule_search_locations:
            for file in sorted(Path(root).rglob("*.py")):
                digest.update(f"{name}/{file.relative_to(root).as_posix()}\n".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()
