"""What a run measured, as it is kept in `results.json`; `docs/bench.md` specifies the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cfack_bench.row import Row
from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.files import atomic_write
from cfack_runtime.scoring import LOGIT

FORMAT, FORMAT_VERSION = "cfack-bench", 1
FEWEST_QUESTIONS = 50
"""R@1 of fewer is not shown: that of 50 is uncertain by 14 points."""

_LARGEST = 64 << 20
_HEADER = ("created", "command", "suite", "machine", "bundle", "seconds", "stopped")
"""Members that every run has; one that was interrupted early has no `inputs` and `limits`, an older one no
`score`."""


@dataclass
class Results:
    """One run of `cfack bench`."""

    name: str
    header: dict[str, Any]
    """created, command, score, suite, machine, limits, bundle, inputs, seconds, stopped."""
    candidates: list[dict[str, Any]]
    rows: list[Row]
    rounds: list[dict[str, Any]] = field(default_factory=list)
    """State of the machine at the begin of each round."""
    accuracy: list[dict[str, Any]] = field(default_factory=list)
    not_run: list[dict[str, str]] = field(default_factory=list)

    @property
    def score(self) -> str:
        """What candidates were put in order by where accuracy was measured."""
        return str(self.header.get("score", LOGIT))

    def candidate(self, name: str) -> dict[str, Any]:
        """The account of a candidate by its id."""
        return next(account for account in self.candidates if account["id"] == name)

    def curve(self, name: str) -> list[dict[str, float]]:
        """R@1 against candidates as measured in this run; empty if it was not, or of too few questions."""
        found = [entry for entry in self.accuracy if entry["candidate"] == name and is_enough(entry)]
        return found[0]["points"] if found else []

    def to_json(self) -> dict[str, Any]:
        """Plain values, with figures beside the samples that they come from."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "name": self.name,
            **self.header,
            "candidates": self.candidates,
            "rows": [row.to_json() for row in self.rows],
            "rounds": self.rounds,
            "accuracy": self.accuracy,
            "not_run": self.not_run,
        }

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        atomic_write(path, dump(self.to_json()).encode())


def is_enough(curve: Mapping[str, Any]) -> bool:
    """Whether an entry of `accuracy` comes from enough questions to be shown, or from all that there were."""
    questions = int(curve["questions"])
    return questions >= min(FEWEST_QUESTIONS, int(curve.get("wanted", FEWEST_QUESTIONS)))


def load_results(path: str | Path) -> Results:
    """Read a `results.json`.

    Raises:
        DataError: it is none, or of another version.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise DataError(f"{path}: no such file, or larger than {_LARGEST} bytes; `cfack bench` writes one")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT or values["format_version"] != FORMAT_VERSION:
            raise DataError(
                f"{path}: is {values['format']!r} version {values['format_version']}, expected {FORMAT!r} "
                f"version {FORMAT_VERSION}; measure again"
            )
        if missing := [name for name in _HEADER if name not in values]:
            raise DataError(f"{path}: holds no {', '.join(missing)}; measure again")
        known = {"format", "format_version", "name", "candidates", "rows", "rounds", "accuracy", "not_run"}
        return Results(
            name=values["name"],
            header={key: value for key, value in values.items() if key not in known},
            candidates=values["candidates"],
            rows=[Row.from_json(row) for row in values["rows"]],
            rounds=values["rounds"],
            accuracy=values["accuracy"],
            not_run=values["not_run"],
        )
    except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise DataError(f"{path}: is no results.json of `cfack bench`: {error!r}") from error


def dump(value: Any, indent: str = "") -> str:
    """JSON for people: objects indented, lists of numbers on one line."""
    inner = indent + " "
    if isinstance(value, Mapping) and value:
        members = (f"{inner}{json.dumps(key)}: {dump(item, inner)}" for key, item in value.items())
        return "{\n" + ",\n".join(members) + f"\n{indent}" + "}" + ("\n" if not indent else "")
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        return "[\n" + ",\n".join(inner + dump(item, inner) for item in value) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def account_json(account: Any) -> dict[str, Any]:
    """Members of an entry of `candidates`."""
    values = asdict(account)
    return {"id": account.candidate.id, **values.pop("candidate"), **values}
