"""Suites: TOML files that say what is measured. `docs/bench.md` has every member."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from cfack_runtime.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

_HERE = Path(__file__).resolve().parent
# In an installed package the suites lie inside it; in the repository they lie beside it.
_FOLDERS = (_HERE / "suites", _HERE.parent / "suites")


@dataclass(frozen=True)
class ImageEncoding:
    """Images to embeddings and tokens."""

    batch: tuple[int, ...] = (1,)


@dataclass(frozen=True)
class TextEncoding:
    """Token ids to embeddings and tokens, at fixed lengths."""

    batch: tuple[int, ...] = (1,)
    tokens: tuple[int, ...] = (16,)
    """[CLS] and [SEP] included; what is above the model's longest text becomes that."""


@dataclass(frozen=True)
class Reranking:
    """One text against many images, tokens in memory."""

    candidates: tuple[int, ...] = (128,)
    tokens: tuple[int, ...] = (16,)


@dataclass(frozen=True)
class Search:
    """Embeddings of texts against those of a gallery."""

    gallery: tuple[int, ...] = (10_000,)
    queries: tuple[int, ...] = (1,)
    k: int = 128


@dataclass(frozen=True)
class Query:
    """From the sentence to the ranked images."""

    candidates: tuple[int, ...] = (0, 128)
    """To re-rank; 0 for none."""
    clients: tuple[int, ...] = (1,)
    """Threads, each of which asks again as soon as it has its answer."""
    gallery: int = 512
    """Images of the gallery that is made for this; at least the largest number of candidates."""
    k: int = 10


@dataclass(frozen=True)
class OpenLoop:
    """Queries that arrive by themselves (Poisson), whether or not the last one is answered."""

    candidates: tuple[int, ...] = (128,)
    loads: tuple[float, ...] = (0.5,)
    """Arrivals as a share of what the first candidate answers in a closed loop."""
    rates: tuple[float, ...] = ()
    """Arrivals a second; take the place of `loads`."""
    arrivals: int = 40
    """At most in one round."""


@dataclass(frozen=True)
class ColdStart:
    """A fresh process: import, open, first answer."""

    rounds: int = 3


@dataclass(frozen=True)
class Accuracy:
    """R@1 against candidates; needs a data set."""

    candidates: tuple[int, ...] = (0, 16, 32, 64, 128)
    captions: int = 200
    images: int = 1000


@dataclass(frozen=True)
class Suite:
    """What is measured and how often. A table that is not there is not measured."""

    description: str = ""
    rounds: int = 5
    """Times that every case of every candidate is visited; candidates take turns."""
    visit_seconds: float = 0.5
    """Longest timed part of a visit, but for its first call."""
    visit_samples: int = 20
    """Most samples of a visit."""
    warmup: int = 3
    """Calls before the first visit's clock starts; later visits begin with one."""
    image_encoding: ImageEncoding | None = None
    text_encoding: TextEncoding | None = None
    reranking: Reranking | None = None
    search: Search | None = None
    query: Query | None = None
    open_loop: OpenLoop | None = None
    cold_start: ColdStart | None = None
    accuracy: Accuracy | None = None

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.visit_samples < 1 or self.warmup < 0 or self.visit_seconds <= 0:
            raise ConfigError(
                "rounds and visit_samples must be at least 1, warmup at least 0, visit_seconds above 0"
            )
        if self.open_loop and not self.query:
            raise ConfigError("open_loop needs query, which says what a query is")


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
    known = [member.name for member in fields(cls)]  # type: ignore[arg-type]  # T is a dataclass
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            faults.append(f"unknown key {where}{key}; known here: {', '.join(known)}")
        else:
            values[key] = _convert(hints[key], value, f"{where}{key}", faults)
    if faults:
        return None
    try:
        return cls(**values)
    except ConfigError as error:
        faults.append(str(error))
        return None


def _convert(hint: Any, value: Any, where: str, faults: list[str]) -> Any:
    inner = next((option for option in get_args(hint) if is_dataclass(option)), None)
    if inner is not None:
        if isinstance(value, Mapping):
            return _build(inner, value, f"{where}.", faults)  # type: ignore[arg-type]
        faults.append(f"{where}: expected a table, got {value!r}")
    elif get_origin(hint) is tuple:
        kind = get_args(hint)[0]
        if isinstance(value, list | tuple) and all(_is_number(item, kind) for item in value):
            return tuple(kind(item) for item in value)
        faults.append(f"{where}: expected a list of numbers from 0 on, got {value!r}")
    elif hint is str and isinstance(value, str):
        return value
    elif hint is not str and _is_number(value, hint):
        return hint(value)
    else:
        faults.append(f"{where}: expected {'text' if hint is str else 'a number from 0 on'}, got {value!r}")
    return None


def _is_number(value: Any, kind: type) -> bool:
    allowed = int if kind is int else int | float
    return isinstance(value, allowed) and not isinstance(value, bool) and value >= 0
