"""How far a graph's outputs may be from PyTorch's, and the record of how far they were."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.errors import ParityError

TOLERANCES: dict[str, float] = {
    # Unit vectors. Float32 sums in another order stay ten times below this and more, and a cosine moves by
    # less than neighbours in a gallery differ.
    "image_embedding": 2e-5,
    "text_embedding": 2e-5,
    # Relative to the largest value: the same sums, but a few channels of trained encoders are tens of times
    # larger than the rest, and their rounding is everybody's.
    "image_tokens": 1e-4,
    "text_tokens": 1e-4,
    # Relative to the largest logit: a reranker only orders candidates.
    "match_logits": 1e-4,
}
"""Largest `OutputParity.error` of each output in float32. A dropped mask, a wrong scale or swapped channels
are at 1e-3 and above."""


@dataclass(frozen=True)
class OutputParity:
    """One output of one graph, over some cases."""

    output: str
    cases: int
    tolerance: float
    error: float
    """Largest difference, divided by the largest expected value of its case where that is above 1."""
    max_abs_error: float
    """Largest difference."""
    min_cosine: float
    """Lowest cosine between rows: embeddings, tokens, or pairs of logits."""


@dataclass(frozen=True)
class GraphParity:
    """One graph, run by one backend against PyTorch."""

    graph: str
    outputs: tuple[OutputParity, ...]

    @property
    def error(self) -> float:
        """Of the worst output."""
        return max(result.error for result in self.outputs)

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Output name -> figures, for `json.dumps`."""
        return {
            result.output: {
                "cases": result.cases,
                "tolerance": result.tolerance,
                "error": result.error,
                "max_abs_error": result.max_abs_error,
                "min_cosine": result.min_cosine,
            }
            for result in self.outputs
        }


def compare(
    graph: str, case: str, output: str, got: NDArray[np.float32], expected: NDArray[np.float32]
) -> OutputParity:
    """Measure one output of one case.

    Raises:
        ParityError: shapes or types differ, or the error is above the tolerance or not a number.
    """
    where = f"{graph}, case {case!r}, {output}"
    if got.shape != expected.shape or got.dtype != expected.dtype:
        raise ParityError(
            f"{where}: got {got.dtype} {got.shape}, PyTorch gives {expected.dtype} {expected.shape}; "
            "the export was refused"
        )
    largest = float(np.abs(got.astype(np.float64) - expected).max(initial=0.0))
    error = largest / max(1.0, float(np.abs(expected).max(initial=0.0)))
    measured = OutputParity(output, 1, TOLERANCES[output], error, largest, _lowest_cosine(got, expected))
    if not error <= measured.tolerance:  # written so that NaN is refused
        raise ParityError(
            f"{where}: differs from PyTorch by {error:.3g}, allowed is {measured.tolerance:.3g} "
            f"(lowest cosine {measured.min_cosine:.6f}); the export was refused"
        )
    return measured


def combine(results: Iterable[OutputParity]) -> OutputParity:
    """Merge what `compare` measured of one output in several cases."""
    results = list(results)
    return OutputParity(
        results[0].output,
        sum(result.cases for result in results),
        results[0].tolerance,
        max(result.error for result in results),
        max(result.max_abs_error for result in results),
        min(result.min_cosine for result in results),
    )


def _lowest_cosine(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Lowest cosine of corresponding rows; a row of zeros has 0 with any other."""
    a = got.reshape(-1, got.shape[-1]).astype(np.float64)
    b = expected.reshape(-1, expected.shape[-1]).astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore"):  # infinite values, which their error refuses
        cosines = (a * b).sum(axis=1) / np.maximum(norms, np.finfo(np.float64).tiny)
    return float(cosines.min(initial=1.0))
