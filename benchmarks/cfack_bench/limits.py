"""What the machine can do at best: the rate of its matrix product and of reading memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

_SIDE = 2048
_WIDTH = 1024
_SIZES = (1 << 20, 16 << 20, 256 << 20)
_REPEAT = 5


@dataclass(frozen=True)
class ReadRate:
    """How fast so many bytes are read, again and again."""

    byte_count: int
    gbs: float
    """10^9 bytes a second, at best."""
    milliseconds: tuple[float, ...]


@dataclass(frozen=True)
class MachineLimits:
    """The best of several tries, and all of them."""

    threads: int
    matmul_gflops: float
    """10^9 float32 additions and multiplications a second, in a product of two 2048 x 2048 matrices."""
    matmul_ms: tuple[float, ...]
    reads: tuple[ReadRate, ...]
    """By ascending size: what fits a cache is read faster than what does not."""

    @classmethod
    def from_json(cls, values: dict[str, object]) -> MachineLimits:
        """Undo `dataclasses.asdict`."""
        reads = tuple(ReadRate(**read) for read in values["reads"])  # type: ignore[attr-defined]
        return cls(**{**values, "reads": reads})  # type: ignore[arg-type]

    def milliseconds(self, flops: float, byte_count: float) -> float:
        """Least time for so much arithmetic and so many bytes of weights, whichever takes longer."""
        fitting = [read for read in self.reads if read.byte_count >= byte_count]
        # Fewer bytes are never read more slowly, whatever disturbed their own measurement.
        rate = max(read.gbs for read in fitting or self.reads[-1:])
        return 1e3 * max(flops / (self.matmul_gflops * 1e9), byte_count / (rate * 1e9))

    def better_of(self, other: MachineLimits) -> MachineLimits:
        """Join two measurements: a limit is what was reached in the better moment."""
        pairs = zip(self.reads, other.reads, strict=True)
        return MachineLimits(
            self.threads,
            max(self.matmul_gflops, other.matmul_gflops),
            self.matmul_ms + other.matmul_ms,
            tuple(
                ReadRate(a.byte_count, max(a.gbs, b.gbs), (*a.milliseconds, *b.milliseconds))
                for a, b in pairs
            ),
        )


def measure_limits(threads: int, side: int = _SIDE, sizes: Sequence[int] = _SIZES) -> MachineLimits:
    """Time float32 products: of two matrices for arithmetic, of a matrix and a vector for reading.

    NumPy's own library takes as many threads as its environment says; a worker process sets that.

    Args:
        threads: CPU threads, for the record.
        side: rows and columns of the matrices.
        sizes: bytes of the matrices that are read.
    """
    draw = np.random.default_rng(0)
    a, b = (draw.standard_normal((side, side), dtype=np.float32) for _ in range(2))
    out = np.empty_like(a)
    matmul = _tries(lambda: np.matmul(a, b, out=out))
    reads = []
    for size in sizes:
        matrix = np.ones((max(1, size // (4 * _WIDTH)), _WIDTH), np.float32)
        vector, product = np.ones(_WIDTH, np.float32), np.empty(len(matrix), np.float32)
        times = _tries(partial(np.matmul, matrix, vector, out=product))
        reads.append(ReadRate(matrix.nbytes, float(f"{matrix.nbytes / min(times) / 1e6:.5g}"), times))
    return MachineLimits(threads, float(f"{2 * side**3 / min(matmul) / 1e6:.5g}"), matmul, tuple(reads))


def _tries(call: Callable[[], object]) -> tuple[float, ...]:
    call()
    times = []
    for _ in range(_REPEAT):
        start = time.perf_counter_ns()
        call()
        times.append(float(f"{(time.perf_counter_ns() - start) / 1e6:.5g}"))
    return tuple(times)
