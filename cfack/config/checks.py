"""What a single setting may be; all faults of a table are reported in one error."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cfack_runtime.errors import ConfigError


@dataclass(frozen=True)
class Allowed:
    """The values that a setting may have."""

    expected: str
    """How a message says it."""
    holds: Callable[[Any], bool]


def _numbers(expected: str, holds: Callable[[float], bool]) -> Allowed:
    # TOML has inf and nan; neither can be trained with.
    return Allowed(expected, lambda value: math.isfinite(value) and holds(value))


COUNT = _numbers("at least 1", lambda value: value >= 1)
NOT_NEGATIVE = _numbers("at least 0", lambda value: value >= 0)
POSITIVE = _numbers("a number above 0", lambda value: value > 0)
SHARE = _numbers("a number from 0 to 1", lambda value: 0 <= value <= 1)
BELOW_ONE = _numbers("a number from 0 to below 1", lambda value: 0 <= value < 1)


def one_of(*names: str) -> Allowed:
    """Exactly these texts."""
    return Allowed(f"one of {', '.join(names)}", lambda value: value in names)


def check(table: str, config: object, allowed: Mapping[str, Allowed]) -> None:
    """Refuse values that no training works with, before anything is loaded.

    Args:
        table: name of the table, for messages.
        config: a dataclass; a value of None is absent and always allowed.
        allowed: field -> its values.

    Raises:
        ConfigError: one line for each wrong value.
    """
    values = {name: getattr(config, name) for name in allowed}
    faults = [
        f"{table}.{name}: expected {allowed[name].expected}, got {value!r}"
        for name, value in values.items()
        if value is not None and not allowed[name].holds(value)
    ]
    if faults:
        raise ConfigError("\n".join(faults))
