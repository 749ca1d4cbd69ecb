"""Benchmarks: how long a query and its parts take, with the spread, and with the accuracy beside it.

Names are imported when they are used, so that a worker's cold start measures what it opens.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfack_bench.compare import Comparison, compare
    from cfack_bench.options import BenchOptions
    from cfack_bench.results import Results, load_results
    from cfack_bench.run import run_bench
    from cfack_bench.suite import Suite
    from cfack_bench.suite_file import load_suite
    from cfack_bench.timing import Latency, measure

_MODULES = {
    "BenchOptions": "options",
    "Comparison": "compare",
    "Latency": "timing",
    "Results": "results",
    "Suite": "suite",
    "compare": "compare",
    "load_results": "results",
    "load_suite": "suite_file",
    "measure": "timing",
    "run_bench": "run",
}

__all__ = [
    "BenchOptions",
    "Comparison",
    "Latency",
    "Results",
    "Suite",
    "compare",
    "load_results",
    "load_suite",
    "measure",
    "run_bench",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
