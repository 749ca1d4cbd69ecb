"""JSON as a file format: what two readers could read in two ways is refused.

Python's own reader keeps the last of two equal keys, takes NaN and Infinity, and turns 1e999 into
infinity. A manifest that a C program reads too must mean one thing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfack_runtime.errors import CfackError

_LONGEST_NUMBER = 30
_SHA256 = re.compile(r"[0-9a-f]{64}")


def dump_json(value: object) -> bytes:
    """Write JSON for people and programs: indented, ASCII, no NaN; the same bytes for the same value."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode("ascii")


def read_object(path: Path, limit: int, error: type[CfackError]) -> Fields:
    """Read a file that holds one JSON object.

    Args:
        path: the file.
        limit: most bytes read; a larger file is refused before it is read.
        error: what is raised when anything is wrong.

    Raises:
        CfackError: as `error`: no regular file, too large, not UTF-8, not JSON, not an object, a repeated
            key, a number that is not finite.
    """
    if not path.is_file():
        raise error(f"{path}: no such file")
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as reason:
        raise error(f"{path}: cannot be read: {reason.strerror}") from reason
    if len(data) > limit:
        raise error(f"{path}: larger than {limit} bytes, the most that is read")
    return parse_object(data, str(path), error)


def parse_object(data: bytes, source: str, error: type[CfackError]) -> Fields:
    """Parse one JSON object; see `read_object`.

    Args:
        data: UTF-8 text.
        source: what messages call it.
        error: what is raised when anything is wrong.
    """
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except RecursionError as reason:
        raise error(f"{source}: nested too deeply") from reason
    except ValueError as reason:  # JSONDecodeError and UnicodeDecodeError are both
        raise error(f"{source}: not valid JSON: {reason}") from reason
    if not isinstance(value, dict):
        raise error(f"{source}: holds a JSON {_json_type(value)}, expected an object")
    return Fields(value, source, error)


@dataclass(frozen=True)
class Fields:
    """The members of one JSON object, read with a check of each.

    Every method raises `error`, and its message names the file and the member.
    """

    values: Mapping[str, Any]
    where: str
    error: type[CfackError]

    def text(self, name: str, pattern: str = r".+") -> str:
        """Return a string that matches `pattern` as a whole."""
        value = self._get(name, str, "a string")
        if not re.fullmatch(pattern, value, re.DOTALL):
            raise self.error(f"{self.where}: {name} is {_short(value)}, which is no valid {name}")
        return str(value)

    def sha256(self, name: str) -> str:
        """Return 64 lower-case hexadecimal digits."""
        value = self._get(name, str, "a string")
        if not _SHA256.fullmatch(value):
            raise self.error(
                f"{self.where}: {name} is {_short(value)}, expected 64 lower-case hexadecimal digits"
            )
        return str(value)

    def integer(self, name: str, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        value = self._get(name, int, "a whole number")
        if not low <= value <= high:
            raise self.error(f"{self.where}: {name} is {value}, expected {low} to {high}")
        return int(value)

    def number(self, name: str) -> float:
        """Return a finite number, whole or not."""
        value = self.values.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        return float(self._get(name, float, "a number"))

    def boolean(self, name: str) -> bool:
        """Return true or false."""
        return bool(self._get(name, bool, "true or false"))

    def object(self, name: str) -> Fields:
        """Return the members of an object."""
        return Fields(self._get(name, dict, "an object"), f"{self.where}: {name}", self.error)

    def objects(self, name: str) -> list[Fields]:
        """Return the objects of a list."""
        found = []
        for index, value in enumerate(self.list(name)):
            if not isinstance(value, dict):
                raise self.error(f"{self.where}: {name}[{index}] is no object")
            found.append(Fields(value, f"{self.where}: {name}[{index}]", self.error))
        return found

    def list(self, name: str) -> list[Any]:
        """Return a list of anything."""
        values: list[Any] = self._get(name, list, "a list")
        return values

    def optional(self, name: str) -> bool:
        """Whether the member is there and not null."""
        return self.values.get(name) is not None

    def _get(self, name: str, kind: type, expected: str) -> Any:
        if name not in self.values:
            raise self.error(f"{self.where}: {name} is missing")
        value = self.values[name]
        # To Python, true is a whole number.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(f"{self.where}: {name} is a JSON {_json_type(value)}, expected {expected}")
        return value


def _no_repeated_key(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise ValueError(f"the key {_short(key)} occurs twice in one object")
        members[key] = value
    return members


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:_LONGEST_NUMBER]} is not a finite number")
    return value


def _short_integer(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _json_type(value: object) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}...")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_no_repeated_key,
    parse_constant=_finite,
    parse_float=_finite,
    parse_int=_short_integer,
)
