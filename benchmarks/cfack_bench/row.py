"""One case of one candidate, as it was measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cfack_bench.cases import Case
from cfack_bench.statistics import Figures, as_json, doubts, figures, flat

BUSY = 0.05
"""Share of the processors' time that others may take before a row is marked."""
OVERLOADED = 0.95
"""Share of the time that an open loop may be at work before its row is marked."""


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
    def utilisation(self) -> float | None:
        """Of an open loop: arrivals a second times the mean time of answering one; at 1 the queue grows."""
        if "rate" not in self.details or "waiting" not in self.stages:
            return None
        answering = float(flat(self.rounds).mean() - flat(self.stages["waiting"]).mean())
        return self.details["rate"] * answering / 1e3

    @property
    def marks(self) -> tuple[str, ...]:
        """Reasons to doubt the row."""
        reasons = [f"unstable: {reason}" for reason in doubts(self.rounds, wide="rate" in self.details)]
        if (self.foreign_share or 0.0) > BUSY:
            reasons.append(f"busy machine: others took {self.foreign_share:.0%} of the processors")
        if (self.utilisation or 0.0) > OVERLOADED:
            reasons.append(f"overloaded: what arrives is {self.utilisation:.0%} of what can be answered")
        return tuple(reasons)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Row:
        """Undo `to_json`; raises what wrong members raise."""
        row = cls(
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

    def to_json(self) -> dict[str, Any]:
        """Plain values, with figures beside the samples that they come from."""
        return {
            "candidate": self.candidate,
            "measure": self.case.measure,
            "parameters": dict(self.case.parameters),
            "unit": self.case.unit,
            "units_per_call": self.case.units,
            "figures": as_json(self.figures),
            "throughput": float(f"{self.throughput:.5g}"),
            "limit_ms": self.limit_ms,
            "peak_host_bytes": self.peak_host_bytes,
            "peak_device_bytes": self.peak_device_bytes,
            "foreign_share": self.foreign,
            "marks": list(self.marks),
            "details": self.details,
            "rounds_ms": self.rounds,
            "warmup_ms": self.warmup,
            "wall_ms": self.wall,
            "stages_ms": self.stages,
        }
