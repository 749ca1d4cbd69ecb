"""Reading and writing configurations as TOML; every fault of a file is reported at once."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from cfack.config.experiment import ExperimentConfig
from cfack.config.switches import Switches
from cfack_runtime.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


def preset_names() -> list[str]:
    """Names that `load_config` accepts beside paths."""
    folder = resources.files("cfack.config") / "presets"
    names = [entry.name for entry in folder.iterdir()]
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def load_config(source: str | Path) -> ExperimentConfig:
    """Read a preset by name, or a TOML file by path.

    Raises:
        ConfigError: no such preset or file, not TOML, or any unknown key, wrong type or bad value.
    """
    name = str(source)
    if name in preset_names():
        text = (resources.files("cfack.config") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    else:
        path = Path(source)
        if not path.is_file():
            raise ConfigError(
                f"no configuration {name!r}: expected a TOML file or one of the presets "
                f"{', '.join(preset_names())}"
            )
        text = path.read_text(encoding="utf-8")
    return parse_config(text, name)


def parse_config(text: str, name: str = "configuration") -> ExperimentConfig:
    """Build a configuration from TOML text; `name` stands in messages. Raises ConfigError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not valid TOML: {error}") from error
    if table.get("mode") == "official":
        table["switches"] = {**asdict(Switches.official()), **table.get("switches", {})}
    return from_mapping(ExperimentConfig, table, name)


def dump_config(config: ExperimentConfig) -> str:
    """TOML text that `parse_config` reads back to an equal configuration."""
    import tomli_w

    return tomli_w.dumps(_drop_none(asdict(config)))


def from_mapping(cls: type[T], mapping: Mapping[str, Any], name: str) -> T:
    """Build a dataclass from nested mappings.

    An optional table (`model.cnn`) is left out by `cnn = false`; an optional number by `"none"`.

    Raises:
        ConfigError: lists every unknown key, wrong type and bad value.
    """
    faults: list[str] = []
    result = _build(cls, mapping, "", faults)
    if faults:
        raise ConfigError(f"{name}:\n" + "\n".join(f"  - {fault}" for fault in faults))
    return result  # type: ignore[no-any-return]


def with_overrides(config: ExperimentConfig, **tables: Mapping[str, Any]) -> ExperimentConfig:
    """A copy with single values replaced: `with_overrides(c, train={"seed": 1})`."""
    changed = {name: replace(getattr(config, name), **values) for name, values in tables.items()}
    return replace(config, **changed)


def _drop_none(value: Any) -> Any:
    """TOML has no null: an absent optional table is `false`, an absent optional number is "none"."""
    if not isinstance(value, dict):
        return value
    absent = {key: False if key == "cnn" else "none" for key, item in value.items() if item is None}
    return {key: _drop_none(item) for key, item in value.items()} | absent


def _build(cls: Any, mapping: Mapping[str, Any], where: str, faults: list[str]) -> Any:
    hints = get_type_hints(cls)
    known = {f.name for f in fields(cls)}
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        path = f"{where}{key}"
        if key not in known:
            faults.append(f"unknown key {path}; known here: {', '.join(sorted(known))}")
            continue
        try:
            values[key] = _convert(hints[key], value, path, faults)
        except ConfigError as error:
            faults.append(str(error))
    try:
        return cls(**values)
    except ConfigError as error:
        faults.extend(str(error).splitlines())
        return None


def _convert(hint: Any, value: Any, path: str, faults: list[str]) -> Any:
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    inner = next(option for option in options if option is not type(None))
    if type(None) in options and value == (False if is_dataclass(inner) else "none"):
        return None
    if is_dataclass(inner):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{path}: expected a table, got {value!r}")
        return _build(inner, value, f"{path}.", faults)
    if inner is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, inner) or (inner is int and isinstance(value, bool)):
        raise ConfigError(f"{path}: expected {inner.__name__}, got {value!r}")
    return value
