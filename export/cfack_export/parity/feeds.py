"""What calls a graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.backends import Backend
from cfack_runtime.graph_contract import ONE_TEXT, RERANKER

Feed = Mapping[str, NDArray[Any]]

Run = Callable[[Feed], Mapping[str, NDArray[Any]]]
"""Runs a graph: input name -> array in, output name -> array out. Takes tokens of any float type, and raises
`BackendError` where it cannot run."""


def backend_run(backend: Backend) -> Run:
    """Make a backend a `Run`: every input is converted to the type that its graph declares."""
    types = {spec.name: np.dtype(spec.dtype) for spec in backend.inputs}

    def run(feed: Feed) -> Mapping[str, NDArray[Any]]:
        return backend.run({name: np.ascontiguousarray(feed[name], dtype=types[name]) for name in types})

    return run


def searching_graph(graphs: Collection[str]) -> str:
    """Name what matches one text with many images: the rewrite made for that where there is one."""
    return ONE_TEXT if ONE_TEXT in graphs else RERANKER
