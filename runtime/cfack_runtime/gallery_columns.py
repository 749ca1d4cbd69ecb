"""Metadata by field, for filters: read once, kept as long as the segment is open."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.gallery_lines import ImageLines
from cfack_runtime.manifest import Scalar

PATH = "path"
"""A field that every image has."""


@dataclass(frozen=True)
class Column:
    """One field of every row of a segment."""

    values: tuple[Scalar, ...]
    """The different values."""
    codes: NDArray[np.int32]
    """(rows,): which of them each row has; -1: it has no such field."""


class Columns:
    """The metadata of a segment's rows, removed ones included. Several threads may ask.

    Args:
        lines: where it is read.
    """

    def __init__(self, lines: ImageLines) -> None:
        self._lines = lines
        self._lock = threading.Lock()
        self._known: dict[str, Column] = {}
        self._fields: Mapping[str, NDArray[np.bool_]] | None = None

    def load(self, fields: Iterable[str]) -> None:
        """Read several fields at once, which `column` would read one after the other."""
        with self._lock:
            wanted = [field for field in fields if field not in self._known and field != PATH]
            if wanted or self._fields is None:
                self._read(wanted)

    def column(self, field: str) -> Column:
        """One field; a field that no row has gives a column without values."""
        if field == PATH:  # not kept: as many strings as rows
            paths = tuple(self._lines.paths())
            return Column(paths, np.arange(len(paths), dtype=np.int32))
        self.load([field])
        return self._known[field]

    def fields(self, rows: NDArray[np.int64]) -> Counter[str]:
        """Names of fields, and how many of these rows have each."""
        self.load([])
        assert self._fields is not None
        counts = {name: int(there[rows].sum()) for name, there in self._fields.items()}
        return Counter({name: count for name, count in counts.items() if count})

    def _read(self, wanted: Sequence[str]) -> None:
        """Go through all lines once."""
        count = len(self._lines)
        fields: dict[str, NDArray[np.bool_]] = {}
        # To Python 1, 1.0 and True are one key, but a filter tells true from 1.
        values: dict[str, dict[tuple[bool, Scalar], int]] = {field: {} for field in wanted}
        codes = {field: np.full(count, -1, np.int32) for field in wanted}
        for row, metadata in enumerate(self._lines.metadata()):
            for name, value in metadata.items():
                if name not in fields:
                    fields[name] = np.zeros(count, np.bool_)
                fields[name][row] = True
                if name in values:
                    known = values[name]
                    codes[name][row] = known.setdefault((isinstance(value, bool), value), len(known))
        self._fields = fields
        for field in wanted:
            self._known[field] = Column(tuple(value for _, value in values[field]), codes[field])
