"""Errors that say which file they are about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cfack_runtime.errors import CheckpointError, ConfigError


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the file's name in front of a CheckpointError or ConfigError that does not have it yet."""
    try:
        yield
    except (CheckpointError, ConfigError) as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error
