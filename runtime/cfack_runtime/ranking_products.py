"""Float32 products of queries and embeddings, as fast as memory can be read.

One query alone is bound by memory, and the matrix-vector product of BLAS is not always: on an AMD EPYC of two
cores OpenBLAS takes 1.9 times as long as one pass over the bytes, a dot product for each row 1.1 times.

Shapes: Q queries, B embeddings, D width.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.half import as_type

_MOST_READERS = 4
"""Few cores read as fast as memory gives; one alone may not."""
_MANY = 64 << 20
"""Bytes of embeddings from which threads pay."""
_LEAST = 4096
"""Rows that a thread gets at least."""
_VECDOT: Any = getattr(np, "vecdot", None)  # since NumPy 2.0


@dataclass(frozen=True)
class Readers:
    """Threads, and how many there are."""

    pool: Executor
    count: int


@contextmanager
def readers(queries: int, byte_count: int) -> Iterator[Readers | None]:
    """Threads for `products`, where they pay: for one query and many bytes of embeddings.

    Args:
        queries: Q.
        byte_count: of all embeddings that will be read.
    """
    count = min(_MOST_READERS, _cores())
    if queries != 1 or byte_count < _MANY or count < 2 or _VECDOT is None:
        yield None
        return
    with ThreadPoolExecutor(count, thread_name_prefix="cfack-search") as pool:
        yield Readers(pool, count)


def products(
    queries: NDArray[np.float32],
    embeddings: NDArray[np.floating[Any]],
    out: NDArray[np.float32],
    readers: Readers | None,
) -> None:
    """Multiply queries (Q, D) with embeddings (B, D) of any float type into `out` (Q, B).

    Args:
        queries: float32.
        embeddings: rows; may be mapped.
        out: gets the products, off by at most D/2 eps |q||g|.
        readers: of the context manager of that name.
    """
    if len(queries) != 1 or _VECDOT is None:
        np.matmul(queries, as_type(embeddings, np.float32).T, out=out)
        return

    def dot(rows: slice) -> None:
        _VECDOT(as_type(embeddings[rows], np.float32), queries[0], out=out[0, rows])

    parts = min(readers.count, len(embeddings) // _LEAST) if readers is not None else 1
    if readers is None or parts < 2:
        dot(slice(None))
        return
    bounds = [len(embeddings) * part // parts for part in range(parts + 1)]
    for _ in readers.pool.map(dot, map(slice, bounds, bounds[1:])):
        pass


def _cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
