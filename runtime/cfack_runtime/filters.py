"""Which images a search may find: conditions on their metadata.

A filter is a sentence for the command line, `camera=east and time>=2024-05-01` (see `filters_language`), a
mapping for programs, or a condition made of the classes below:

    {"camera": "east", "frame": [1, 2, 3], "time": (">=", "2024-05-01")}
    AnyOf((Compare("camera", "=", "east"), Not(Compare("night", "=", True))))

Numbers are compared as numbers, strings by code point (which puts ISO times in their order), and a value is
neither equal to nor less nor greater than one of another type. An image without the field fulfils no
comparison with it, `!=` included; the `not` of a comparison it fulfils.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.errors import UsageError
from cfack_runtime.gallery_columns import Column
from cfack_runtime.manifest import Scalar

ColumnOf = Callable[[str], Column]
Mask = NDArray[np.bool_]

_ORDERS: Mapping[str, Callable[[Scalar, Scalar], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
OPERATORS = (*_ORDERS, "~")
"""`~` compares a string with a pattern, in which * stands for anything, ? for one character."""

_WHOLE = re.compile(r"-?[0-9]{1,30}")
_DECIMAL = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,2})?")


class Condition(Protocol):
    """Something that an image fulfils or not."""

    def fields(self) -> frozenset[str]:
        """The fields that it asks for."""

    def rows(self, column: ColumnOf, count: int) -> Mask:
        """Which of `count` rows fulfil it, given their columns."""


@dataclass(frozen=True)
class Word:
    """A value written without quotation marks: a number to numbers, true or false to booleans, else text."""

    text: str

    def like(self, value: Scalar) -> Scalar | None:
        """What it says to something of the type of `value`; None: nothing."""
        if isinstance(value, bool):
            return {"true": True, "false": False}.get(self.text)
        if isinstance(value, str):
            return self.text
        if _WHOLE.fullmatch(self.text):
            return int(self.text)
        return float(self.text) if _DECIMAL.fullmatch(self.text) else None


@dataclass(frozen=True)
class Compare:
    """Field, operator, value."""

    field: str
    op: str
    """One of `OPERATORS`."""
    value: Scalar | Word

    def __post_init__(self) -> None:
        if self.op not in OPERATORS:
            raise UsageError(f"{self.op!r} is no comparison; there are {' '.join(OPERATORS)}")
        if not isinstance(self.value, bool | int | float | str | Word):
            raise UsageError(
                f"{self.field} is compared with {self.value!r}, which is no number, text or boolean"
            )

    def fields(self) -> frozenset[str]:
        """The field."""
        return frozenset([self.field])

    def rows(self, column: ColumnOf, count: int) -> Mask:
        """Each different value is compared once."""
        values = column(self.field)
        test = self._like_pattern() if self.op == "~" else self._compare
        verdicts = [test(value) for value in values.values]
        return np.array([*verdicts, False])[values.codes]  # code -1, no such field, is the last

    def _like_pattern(self) -> Callable[[Scalar], bool]:
        text = self.value.text if isinstance(self.value, Word) else str(self.value)
        pattern = re.compile(fnmatch.translate(text))
        return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None

    def _compare(self, value: Scalar) -> bool:
        other = self.value.like(value) if isinstance(self.value, Word) else self.value
        if other is None or _kind(other) is not _kind(value):
            return self.op == "!="
        if isinstance(value, bool) and self.op not in ("=", "!="):
            return False
        return _ORDERS[self.op](value, other)


@dataclass(frozen=True)
class All:
    """Every part holds; none at all is fulfilled by everything."""

    parts: tuple[Condition, ...]

    def fields(self) -> frozenset[str]:
        """Those of all parts."""
        return frozenset[str]().union(*(part.fields() for part in self.parts))

    def rows(self, column: ColumnOf, count: int) -> Mask:
        """Which rows fulfil every part."""
        found = np.ones(count, np.bool_)
        for part in self.parts:
            found &= part.rows(column, count)
        return found


@dataclass(frozen=True)
class AnyOf:
    """At least one part holds; none at all is fulfilled by nothing."""

    parts: tuple[Condition, ...]

    def fields(self) -> frozenset[str]:
        """Those of all parts."""
        return frozenset[str]().union(*(part.fields() for part in self.parts))

    def rows(self, column: ColumnOf, count: int) -> Mask:
        """Which rows fulfil a part."""
        found = np.zeros(count, np.bool_)
        for part in self.parts:
            found |= part.rows(column, count)
        return found


@dataclass(frozen=True)
class Not:
    """The part does not hold."""

    part: Condition

    def fields(self) -> frozenset[str]:
        """Those of the part."""
        return self.part.fields()

    def rows(self, column: ColumnOf, count: int) -> Mask:
        """Which rows do not fulfil the part."""
        return ~self.part.rows(column, count)


Wanted = Scalar | list[Scalar] | set[Scalar] | frozenset[Scalar] | tuple[str, Scalar]
Where = str | Mapping[str, Wanted] | Condition


def parse_filter(where: Where) -> Condition:
    """Understand a filter in any of its forms.

    A value of a mapping stands for equality, a list or set for one of its members, a tuple for an operator
    and a value; all fields must fit.

    Raises:
        UsageError: it is malformed; the message says where.
    """
    if isinstance(where, str):
        from cfack_runtime.filters_language import parse_sentence

        return parse_sentence(where)
    if isinstance(where, Mapping):
        return All(tuple(_wanted(field, value) for field, value in where.items()))
    if isinstance(where, All | AnyOf | Not | Compare):
        return where
    raise UsageError(f"a filter is a sentence, a mapping or a condition, not a {type(where).__name__}")


def all_of(wheres: Iterable[Where]) -> Condition | None:
    """Several filters that must all hold; None: there is none."""
    parts = tuple(parse_filter(where) for where in wheres)
    return All(parts) if parts else None


def _wanted(field: str, value: Wanted) -> Condition:
    if isinstance(value, tuple):
        if len(value) != 2:
            raise UsageError(f"{field}: expected (operator, value), got {value!r}; several values are a list")
        return Compare(field, *value)
    if isinstance(value, list | set | frozenset):
        return AnyOf(tuple(Compare(field, "=", one) for one in value))
    return Compare(field, "=", value)


def _kind(value: Scalar) -> type:
    return bool if isinstance(value, bool) else str if isinstance(value, str) else float
