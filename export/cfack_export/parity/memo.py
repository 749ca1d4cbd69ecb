"""What the gate has found out, by what it came from: a graph that has not changed is not run again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")

_KEPT = 3


class Memo:
    """The last few results of each kind.

    Args:
        kept: results of a kind; a sample's image tokens are the largest, 85 MB at base size.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._results: dict[Hashable, OrderedDict[Hashable, Any]] = {}

    def of(self, kind: Hashable, origin: Hashable, make: Callable[[], _T]) -> _T:
        """Give the result of that kind and origin, made now if it is not there."""
        results = self._results.setdefault(kind, OrderedDict())
        if origin not in results:
            results[origin] = make()
        results.move_to_end(origin)
        while len(results) > self._kept:
            results.popitem(last=False)
        found: _T = results[origin]
        return found


@dataclass(frozen=True)
class Recall:
    """A memo for the graphs of one precision."""

    memo: Memo
    precision: str
    versions: Mapping[str, str]
    """Graph -> hash of its file. Results of graphs that are not here are always made anew."""

    def of(self, kind: Hashable, graphs: tuple[str, ...], make: Callable[[], _T]) -> _T:
        """Give what `make` gives, or gave before for the same versions of these graphs."""
        if any(graph not in self.versions for graph in graphs):
            return make()
        origin = tuple((graph, self.versions[graph]) for graph in graphs)
        return self.memo.of((self.precision, kind), origin, make)
