"""`--set table.key=value`: single keys of a configuration, given on the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from cfack.config import ExperimentConfig, Switches
from cfack.config.toml import dump_config, from_mapping
from cfack_runtime.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def apply_settings(config: ExperimentConfig, settings: Sequence[str]) -> ExperimentConfig:
    """Override single keys.

    Args:
        config: the configuration as read.
        settings: `table.key=value` each, applied in order. A value is TOML, or else text as it stands. `mode`
            sets every switch; one that differs is set after it.

    Raises:
        ConfigError: no such key or a wrong value.
    """
    tables = tomllib.loads(dump_config(config))
    for setting in settings:
        key, equals, text = (part.strip() for part in setting.partition("="))
        if not equals:
            raise ConfigError(f"--set {setting}: expected KEY=VALUE, for example schedule.epochs=3")
        _put(tables, key, _value(text), setting)
        if key == "mode":
            official = text.strip("'\"") == "official"
            tables["switches"] = asdict(Switches.official() if official else Switches())
    return from_mapping(ExperimentConfig, tables, "--set")


def _put(tables: dict[str, Any], key: str, value: Any, setting: str) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        inner = tables.get(parent)
        if not isinstance(inner, dict):
            known = ", ".join(sorted(name for name, value in tables.items() if isinstance(value, dict)))
            raise ConfigError(f"--set {setting}: {parent} is no table here; known: {known or 'none'}")
        tables = inner
    tables[last] = value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
