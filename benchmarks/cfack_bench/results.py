"""What a run measured, as it is kept in `results.json`; `docs/bench.md` specifies the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cfack_bench.cases import Case
from cfack_bench.statistics import Figures, as_json, doubts, figures
from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.files import atomic_write

FORMAT, FORMAT_VERSION = "cfack-bench", 1
BUSY = 0.05
"""Share of the processors' time that others may take before a row is marked."""
OVERLOADED = 0.95
"""A candidate that answers a smaller share of the arrivals than this cannot keep up."""

_LARGEST = 64 << 20


@dataclass
class Row:
    """One case of one candidate: raw samples, and what was seen beside them."""

    candidate: str
    case: Case
    rounds: list[list[float]] = field(default_factory=list)
    """Milliseconds, a list for each visit, in the order of time."""
    warmup: list[float] = field(default_factory=list)
    """Milliseconds of the calls before the clock counted."""
    stages: dict[str, list[list[float]]] = field(default_factory=dict)
    wall: list[float] = field(default_factory=list)
    """Milliseconds of each visit, where calls overlapped or waited."""
    details: dict[str, float] = field(default_factory=dict)
    peak_host_bytes: int = 0
    peak_device_bytes: int | None = None
    limit_ms: float | None = None
    """Least time that the machine's measured rates allow; None where it is not known."""
    foreign: list[float] = field(default_factory=list)
    """Share of the processors' time that others took, for each visit long enough to tell."""

    @property
    def key(self) -> tuple[str, str]:
        """Candidate and case: what two runs are compared by."""
        return self.candidate, self.case.key

    @property
    def figures(self) -> Figures:
        """Of the timed samples."""
        return figures(self.rounds)

    @property
    def throughput(self) -> float:
        """Images, texts, pairs or queries a second."""
        samples = sum(len(one) for one in self.rounds)
        milliseconds = sum(self.wall) if self.wall else sum(sum(one) for one in self.rounds)
        return 1e3 * self.case.units * samples / milliseconds

    @property
    def share_of_limit(self) -> float | None:
        """Least possible time over the median; above 1 where fewer bits are moved than FP32 has."""
        return None if self.limit_ms is None else self.limit_ms / self.figures.p50

    @property
    def foreign_share(self) -> float | None:
        """Mean over the visits."""
        return sum(self.foreign) / len(self.foreign) if self.foreign else None

    @property
    def marks(self) -> tuple[str, ...]:
        """Reasons to doubt the row."""
        reasons = [f"unstable: {reason}" for reason in doubts(self.rounds, wide="rate" in self.details)]
        if (self.foreign_share or 0.0) > BUSY:
            reasons.append(f"busy machine: others took {self.foreign_share:.0%} of the processors")
        if self.details.get("asked_seconds"):
            answered = 1e3 * self.details["asked_seconds"] / sum(self.wall)
            if answered < OVERLOADED:
                reasons.append(f"overloaded: answers {answered:.0%} of what arrives")
        return tuple(reasons)


@dataclass
class Results:
    """One run of `cfack bench`."""

    name: str
    header: dict[str, Any]
    """created, command, suite, machine, limits, bundle, inputs, seconds, stopped."""
    candidates: list[dict[str, Any]]
    rows: list[Row]
    rounds: list[dict[str, Any]] = field(default_factory=list)
    """State of the machine at the begin of each round."""
    accuracy: list[dict[str, Any]] = field(default_factory=list)
    not_run: list[dict[str, str]] = field(default_factory=list)

    def candidate(self, name: str) -> dict[str, Any]:
        """The account of a candidate by its id."""
        return next(account for account in self.candidates if account["id"] == name)

    def to_json(self) -> dict[str, Any]:
        """Plain values, with figures beside the samples that they come from."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "name": self.name,
            **self.header,
            "candidates": self.candidates,
            "rows": [_row_json(row) for row in self.rows],
            "rounds": self.rounds,
            "accuracy": self.accuracy,
            "not_run": self.not_run,
        }

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        atomic_write(path, dump(self.to_json()).encode())


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
        known = {"format", "format_version", "name", "candidates", "rows", "rounds", "accuracy", "not_run"}
        return Results(
            name=values["name"],
            header={key: value for key, value in values.items() if key not in known},
            candidates=values["candidates"],
            rows=[_row_from(row) for row in values["rows"]],
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


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "candidate": row.candidate,
        "measure": row.case.measure,
        "parameters": dict(row.case.parameters),
        "unit": row.case.unit,
        "units_per_call": row.case.units,
        "figures": as_json(row.figures),
        "throughput": float(f"{row.throughput:.5g}"),
        "limit_ms": row.limit_ms,
        "peak_host_bytes": row.peak_host_bytes,
        "peak_device_bytes": row.peak_device_bytes,
        "foreign_share": row.foreign,
        "marks": list(row.marks),
        "details": row.details,
        "rounds_ms": row.rounds,
        "warmup_ms": row.warmup,
        "wall_ms": row.wall,
        "stages_ms": row.stages,
    }


def _row_from(values: dict[str, Any]) -> Row:
    row = Row(
        candidate=values["candidate"],
        case=Case(values["measure"], values["parameters"], values["units_per_call"]),
        rounds=values["rounds_ms"],
        warmup=values["warmup_ms"],
        stages=values["stages_ms"],
        wall=values["wall_ms"],
        details=values["details"],
        peak_host_bytes=values["peak_host_bytes"],
        peak_device_bytes=values["peak_device_bytes"],
        limit_ms=values["limit_ms"],
        foreign=values["foreign_share"],
    )
    figures(row.rounds)  # a row without samples says nothing
    return row


def account_json(account: Any) -> dict[str, Any]:
    """Members of an entry of `candidates`."""
    values = asdict(account)
    return {"id": account.candidate.id, **values.pop("candidate"), **values}
