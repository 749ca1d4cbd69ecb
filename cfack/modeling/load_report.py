"""What became of every key of a checkpoint file, and of every parameter of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LoadReport:
    """The account of one loading; nothing is left unsaid."""

    used: tuple[str, ...]
    """Keys of the file whose tensors the model now holds."""
    unused: Mapping[str, str] = field(default_factory=dict)
    """Key of the file -> why it is not used."""
    filled: Mapping[str, str] = field(default_factory=dict)
    """Entry of the model's state dict that the file does not hold -> where its value comes from."""
    missing: frozenset[str] = frozenset()
    """Those of `filled` that keep their initialisation; training gives them the factor for new parameters."""
    resized: Mapping[str, str] = field(default_factory=dict)
    """Key of a relative-position table that was interpolated -> from which patch grid to which."""

    def unused_by_reason(self) -> dict[str, list[str]]:
        """Group `unused`: reason -> keys in the file's order."""
        return _grouped(self.unused)

    def filled_by_reason(self) -> dict[str, list[str]]:
        """Group `filled`: where from -> names in the model's order."""
        return _grouped(self.filled)

    def to_json(self) -> dict[str, Any]:
        """The report as plain containers."""
        return {
            "used": len(self.used),
            "unused": self.unused_by_reason(),
            "filled": self.filled_by_reason(),
            "missing": sorted(self.missing),
            "resized": dict(self.resized),
        }


def _grouped(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key, reason in reasons.items():
        groups.setdefault(reason, []).append(key)
    return groups
