"""Image tokens on their way from the disk to the re-ranker, in bounded memory.

Shapes: K images, N patches, C token width.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.errors import UsageError
from cfack_runtime.gallery import Gallery

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

DEFAULT_CACHE_BYTES = 256 << 20
"""300 images of base size."""
_MANY_BYTES, _COPIERS = 32 << 20, 4


class TokenCache:
    """The tokens that were used last, of any number of galleries; threads may share it.

    Args:
        limit_bytes: what is kept at most; 0 keeps nothing.
    """

    def __init__(self, limit_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        if limit_bytes < 0:
            raise UsageError(f"the token cache must have 0 or more bytes, got {limit_bytes}")
        self.limit_bytes = limit_bytes
        self._kept: OrderedDict[tuple[int, int], NDArray[np.float16]] = OrderedDict()
        self._bytes = 0
        self._numbers: WeakKeyDictionary[Gallery, int] = WeakKeyDictionary()
        self._next = 0
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """What is kept now."""
        return self._bytes

    def read(self, gallery: Gallery, places: NDArray[np.int64]) -> NDArray[Any]:
        """Return the tokens (K, 1+N, C) of images at (K,) places, from memory as far as they are there."""
        if not self.limit_bytes:
            return gallery.tokens(places)
        with self._lock:
            number = self._numbers.get(gallery)
            if number is None:
                number = self._numbers[gallery] = self._next
                self._next += 1
            known = {
                i: self._kept[number, int(p)] for i, p in enumerate(places) if (number, int(p)) in self._kept
            }
            for i in known:
                self._kept.move_to_end((number, int(places[i])))
        missing = np.array([i for i in range(len(places)) if i not in known], dtype=np.int64)
        fresh = gallery.tokens(places[missing])
        if len(missing):
            self._keep([((number, int(places[i])), row) for i, row in zip(missing, fresh, strict=True)])
        if not known:
            return fresh
        tokens = np.empty((len(places), *next(iter(known.values())).shape), np.float16)
        tokens[missing] = fresh
        _copy_rows(known, tokens)
        return tokens

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _keep(self, rows: Sequence[tuple[tuple[int, int], NDArray[np.float16]]]) -> None:
        with self._lock:
            for key, row in rows:
                if key not in self._kept and row.nbytes <= self.limit_bytes:
                    self._kept[key] = row.copy()  # a view would keep the whole batch
                    self._bytes += row.nbytes
            while self._bytes > self.limit_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= oldest.nbytes


def _copy_rows(rows: Mapping[int, NDArray[np.float16]], out: NDArray[np.float16]) -> None:
    """Copy each row to its place; where they are many, as for a GPU, by threads: one alone copies 3 GB/s."""

    def copy(places: Sequence[int]) -> None:
        for place in places:
            out[place] = rows[place]

    places = list(rows)
    if len(rows) * out[0].nbytes < _MANY_BYTES:
        copy(places)
        return
    with ThreadPoolExecutor(_COPIERS, thread_name_prefix="cfack-tokens") as pool:
        for _ in pool.map(copy, [places[start::_COPIERS] for start in range(_COPIERS)]):
            pass


def read_ahead(items: Sequence[_Item], read: Callable[[_Item], _Result]) -> Iterator[tuple[_Item, _Result]]:
    """Read one item while the one before is being used.

    Yields:
        Each item with what was read of it, in order.
    """
    if len(items) < 2:
        for item in items:
            yield item, read(item)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="cfack-tokens") as pool:
        ahead = pool.submit(read, items[0])
        for number, item in enumerate(items):
            ready = ahead.result()
            if number + 1 < len(items):
                ahead = pool.submit(read, items[number + 1])
            yield item, ready
