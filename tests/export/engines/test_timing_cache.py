"""Kernel timings on disk; the library is a stand-in that takes its own caches only."""

from __future__ import annotations

from pathlib import Path

import pytest

from cfack_export.engines.timing_cache import attach_timing_cache, save_timing_cache
from cfack_runtime.errors import UsageError


class Config:
    """A builder's configuration: a cache starts with the kind of GPU that it is of."""

    def create_timing_cache(self, data: bytes) -> Cache | None:
        return Cache(data or b"this GPU:") if not data or b":" in data else None

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
        return ignore_mismatch or cache.data.startswith(b"this GPU:")


class Cache:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> bytes:
        return self.data + b" kernel"


def test_timings_add_up_from_build_to_build(tmp_path: Path) -> None:
    path = tmp_path / "new" / "timings"
    for expected in (b"this GPU: kernel", b"this GPU: kernel kernel"):
        save_timing_cache(attach_timing_cache(Config(), path), path)
        assert path.read_bytes() == expected
    assert attach_timing_cache(Config(), None) is None


@pytest.mark.parametrize("data", [b"garbage", b"other GPU: kernel"])
def test_a_cache_of_another_gpu_is_refused_and_kept(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "timings"
    path.write_bytes(data)
    with pytest.raises(
        UsageError, match="timings: no timing cache of this library on this kind of GPU; delete"
    ):
        attach_timing_cache(Config(), path)
    assert path.read_bytes() == data
