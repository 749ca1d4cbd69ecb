"""Kernel timings kept between builds, so that the next build of TensorRT need not measure them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cfack_runtime.errors import UsageError
from cfack_runtime.files import atomic_write

_LARGEST = 1 << 30


def attach_timing_cache(config: Any, path: Path | None) -> Any:
    """Give a builder's configuration the cache in a file, or an empty one if there is no file yet.

    Returns:
        The cache, for `save_timing_cache`; None without a path.

    Raises:
        UsageError: the file is no timing cache of this library and GPU.
    """
    if path is None:
        return None
    data = path.read_bytes() if path.is_file() and path.stat().st_size <= _LARGEST else b""
    cache = config.create_timing_cache(data)
    if cache is None or not config.set_timing_cache(cache, False):
        raise UsageError(
            f"{path}: no timing cache of this library on this kind of GPU; delete it, or name another file"
        )
    return cache


def save_timing_cache(cache: Any, path: Path) -> None:
    """Write a cache back, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, bytes(cache.serialize()))
