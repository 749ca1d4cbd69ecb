"""A graph that is loaded when it is first run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from cfack_runtime.backends import Backend, Feed
from cfack_runtime.errors import BackendError
from cfack_runtime.manifest import GraphEntry


class LazyBackend:
    """Stands for a graph whose weights need not be in memory until somebody runs it.

    Args:
        entry: what the manifest says of the graph; its signature is what this declares.
        load: opens and checks the graph; called once, at the first `run`.
    """

    def __init__(self, entry: GraphEntry, load: Callable[[], Backend]) -> None:
        self.inputs = entry.inputs
        self.outputs = entry.outputs
        self._path = entry.file.path
        self._load = load
        self._backend: Backend | None = None
        self._closed = False
        self._lock = threading.Lock()

    def run(self, feed: Feed) -> dict[str, NDArray[Any]]:
        """Load the graph if need be, and run it; see `Backend.run`."""
        with self._lock:
            if self._closed:
                raise BackendError(f"{self._path}: the graph was closed; open it again")
            if self._backend is None:
                self._backend = self._load()
            backend = self._backend
        return backend.run(feed)

    def close(self) -> None:
        """Free what was loaded."""
        with self._lock:
            self._closed = True
            backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()
