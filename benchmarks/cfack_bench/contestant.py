"""A candidate in its process, and what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cfack_bench.candidates import PLAIN, Candidate
from cfack_bench.cases import Case
from cfack_bench.process import WorkerProcess
from cfack_bench.row import Row
from cfack_bench.statistics import rounded


@dataclass
class Contestant:
    """One of those that take turns."""

    candidate: Candidate
    process: WorkerProcess
    rows: dict[str, Row] = field(default_factory=dict)
    """Key of a case -> its row."""
    given_up: set[str] = field(default_factory=set)
    """Keys of cases that it could not do."""
    dead: bool = False

    def has(self, case: Case) -> bool:
        """Whether the case is one of this candidate's: calls bound to a GPU are not for everybody."""
        return not case.on_device or (self.candidate.device != "cpu" and self.candidate.backend != PLAIN)

    def takes(self, case: Case) -> bool:
        """Whether it is to be visited for the case."""
        return self.has(case) and not self.dead and case.key not in self.given_up

    def add_visit(self, case: Case, answer: Mapping[str, Any], foreign: float | None) -> None:
        """Count one visit.

        Args:
            case: what was measured.
            answer: of the worker.
            foreign: share of the processors' time that others took meanwhile, if it is known.
        """
        row = self.rows.setdefault(case.key, Row(self.candidate.id, case))
        row.rounds.append(answer["samples"])
        row.warmup += answer["warmup"]
        for stage, values in answer["stages"].items():
            row.stages.setdefault(stage, []).append(values)
        _add_memory(row, answer)
        if foreign is not None:
            row.foreign.append(round(foreign, 3))
        if answer["wall"] is not None:
            row.wall.append(answer["wall"])
        row.details.update(answer["details"])

    def add_start(self, case: Case, answer: Mapping[str, Any]) -> None:
        """Count one start of a process; each is a round of its own."""
        row = self.rows.setdefault(case.key, Row(self.candidate.id, case))
        stages = {name: rounded(value) for name, value in answer["milliseconds"].items()}
        row.rounds.append([rounded(sum(stages.values()))])
        for stage, value in stages.items():
            row.stages.setdefault(stage, []).append([value])
        _add_memory(row, answer)


def _add_memory(row: Row, answer: Mapping[str, Any]) -> None:
    row.peak_host_bytes = max(row.peak_host_bytes, answer["peak_host_bytes"])
    if answer["device_bytes"] is not None:
        row.peak_device_bytes = max(row.peak_device_bytes or 0, answer["device_bytes"])
