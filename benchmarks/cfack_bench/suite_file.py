"""Suites as TOML files."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from cfack_bench.suite import Suite
from cfack_runtime.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

_MOST = 1e9
"""No size is that large; infinity and what is no number are neither."""

_HERE = Path(__file__).resolve().parent
# In an installed package the suites lie inside it; in the repository they lie beside it.
_FOLDERS = (_HERE / "suites", _HERE.parent / "suites")


def suite_names() -> list[str]:
    """Names that `load_suite` takes beside paths."""
    return sorted({path.stem for folder in _FOLDERS if folder.is_dir() for path in folder.glob("*.toml")})


def load_suite(source: str | Path) -> Suite:
    """Read a suite by name, or a TOML file by path.

    Raises:
        ConfigError: there is none, it is not TOML, or a key or value is wrong (names them all).
    """
    path = next(
        (folder / f"{source}.toml" for folder in _FOLDERS if (folder / f"{source}.toml").is_file()), None
    )
    path = path or Path(source)
    if not path.is_file():
        raise ConfigError(
            f"no suite {str(source)!r}: expected a TOML file or one of {', '.join(suite_names()) or 'none'}"
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name}: not valid TOML: {error}") from error
    return suite_from(table, path.name)


def suite_from(table: Mapping[str, Any], name: str = "suite") -> Suite:
    """Build a suite from nested tables; `name` stands in messages. Raises ConfigError."""
    faults: list[str] = []
    suite = _build(Suite, table, "", faults)
    if faults or suite is None:
        raise ConfigError(f"{name}:\n" + "\n".join(f"  - {fault}" for fault in faults))
    return suite


def _build(cls: type[T], table: Mapping[str, Any], where: str, faults: list[str]) -> T | None:
    hints = get_type_hints(cls)
    known = {member.name: member for member in fields(cls)}  # type: ignore[arg-type]  # T is a dataclass
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            faults.append(f"unknown key {where}{key}; known here: {', '.join(known)}")
        else:
            values[key] = _convert(hints[key], known[key], value, f"{where}{key}", faults)
    if faults:
        return None
    try:
        return cls(**values)
    except ConfigError as error:
        faults.append(str(error))
        return None


def _convert(hint: Any, member: Field[Any], value: Any, where: str, faults: list[str]) -> Any:
    inner = next((option for option in get_args(hint) if is_dataclass(option)), None)
    if inner is not None:
        if isinstance(value, Mapping):
            return _build(inner, value, f"{where}.", faults)  # type: ignore[arg-type]
        faults.append(f"{where}: expected a table, got {value!r}")
        return None
    if hint is str:
        if not isinstance(value, str):
            faults.append(f"{where}: expected text, got {value!r}")
        return value
    several = get_origin(hint) is tuple
    kind, least = get_args(hint)[0] if several else hint, member.metadata.get("least", 0)
    numbers = f"{'whole number' if kind is int else 'number'}{'s' * several} from {least:g} on"
    if several:
        # Nothing in the list would measure nothing, unless that is what the member begins with.
        enough = isinstance(value, list | tuple) and (len(value) > 0 or not member.default)
        if enough and all(_is_number(item, kind, least) for item in value):
            return tuple(kind(item) for item in value)
        faults.append(f"{where}: expected a list of {numbers}, got {value!r}")
    elif _is_number(value, kind, least):
        return kind(value)
    else:
        faults.append(f"{where}: expected a {numbers}, got {value!r}")
    return None


def _is_number(value: Any, kind: type, least: float) -> bool:
    allowed = int if kind is int else int | float
    return isinstance(value, allowed) and not isinstance(value, bool) and least <= value < _MOST
