"""Who is visited when: candidates take turns, so that a slow minute of the machine hits them all."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from cfack_bench.candidates import Candidate, NotRun
from cfack_bench.cases import COLD_START, OPEN_LOOP, QUERY, TITLES, Case
from cfack_bench.machine import foreign_share, read_cpu_clock, state
from cfack_bench.process import CandidateError, WorkerProcess
from cfack_bench.results import Row
from cfack_bench.statistics import rounded
from cfack_bench.suite import Suite
from cfack_runtime.errors import BackendError

BUDGET, INTERRUPTED = "budget", "interrupted"

_FEWEST_ARRIVALS = 5
_SAFETY = 0.8
_GRACE = 3.0
"""Seconds beyond the budget that a visit under way may still take."""
_SLOW_START = 10.0
"""A start that took this many seconds is not made again."""


class BenchProgress(Protocol):
    """Called with what is at work, the share of all that is done, and seconds left if they are known."""

    def __call__(self, doing: str, share: float, seconds_left: float | None, /) -> None:
        """Take note of the progress."""


def no_bench_progress(doing: str, share: float, seconds_left: float | None, /) -> None:
    """Report to nobody."""


@dataclass
class Contestant:
    """A candidate in its process, and what was measured of it."""

    candidate: Candidate
    process: WorkerProcess
    rows: dict[str, Row] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    dead: bool = False


@dataclass
class Schedule:
    """The rounds of a run.

    Args:
        suite: how often and how long.
        cases: what is measured, in this order.
        contestants: whose turn order is drawn anew for every case and round.
        folder: of the workload.
        deadline: on `time.perf_counter`, or None.
        seed: of the turns.
        report: gets the progress.
    """

    suite: Suite
    cases: Sequence[Case]
    contestants: Sequence[Contestant]
    folder: str
    deadline: float | None = None
    seed: int = 0
    report: BenchProgress = no_bench_progress
    machine: list[dict[str, Any]] = field(default_factory=list)
    """State of the machine at the begin of each round."""
    not_run: list[NotRun] = field(default_factory=list)
    _cost: dict[tuple[str, str], float] = field(default_factory=dict)
    _done: int = 0
    _rates: dict[str, float] = field(default_factory=dict)

    def run(self) -> str:
        """Make all rounds; returns why it ended early: "", `BUDGET` or `INTERRUPTED`."""
        seconds = self._visit_seconds()
        began = time.perf_counter()
        try:
            for round_number in range(self.suite.rounds):
                self.machine.append({"second": round(time.perf_counter() - began, 1), **state()})
                for case in self.cases:
                    if case.measure == COLD_START and round_number >= self._cold_starts:
                        continue
                    for contestant in self._turns(round_number, case):
                        if self._out_of_time(contestant, case, seconds):
                            return BUDGET
                        self._visit(contestant, case, round_number, seconds)
        except KeyboardInterrupt:
            return INTERRUPTED
        return ""

    @property
    def _cold_starts(self) -> int:
        return self.suite.cold_start.rounds if self.suite.cold_start else 0

    @property
    def _visits(self) -> int:
        """Of all rounds."""
        cold = sum(case.measure == COLD_START for case in self.cases)
        each = (len(self.cases) - cold) * self.suite.rounds + cold * min(self._cold_starts, self.suite.rounds)
        return max(1, each * len(self.contestants))

    def _visit_seconds(self) -> float:
        """As the suite says, or less if the budget asks for that."""
        if self.deadline is None:
            return self.suite.visit_seconds
        left = max(0.0, self.deadline - time.perf_counter())
        return min(self.suite.visit_seconds, _SAFETY * left / self._visits)

    def _turns(self, round_number: int, case: Case) -> list[Contestant]:
        turns = [
            contestant
            for contestant in self.contestants
            if not contestant.dead and case.key not in contestant.given_up
        ]
        random.Random(f"{self.seed} {round_number} {case.key}").shuffle(turns)
        return turns

    def _out_of_time(self, contestant: Contestant, case: Case, seconds: float) -> bool:
        if self.deadline is None:
            return False
        expected = self._cost.get((contestant.candidate.id, case.key), seconds)
        return time.perf_counter() + expected > self.deadline

    def _visit(self, contestant: Contestant, case: Case, round_number: int, seconds: float) -> None:
        self.report(
            f"{TITLES[case.measure]}, {contestant.candidate.id}", self._done / self._visits, self._left()
        )
        began = time.perf_counter()
        try:
            if case.measure == COLD_START:
                self._cold_start(contestant, case)
            else:
                self._ask(contestant, case, round_number, seconds)
        except CandidateError as error:
            contestant.given_up.add(case.key)
            self.not_run.append(NotRun(f"{contestant.candidate.id}: {case.key}", str(error)))
        except BackendError as error:
            contestant.dead = True
            self.not_run.append(NotRun(f"{contestant.candidate.id}: from {case.key} on", str(error)))
        self._done += 1
        self._cost[contestant.candidate.id, case.key] = time.perf_counter() - began

    def _ask(self, contestant: Contestant, case: Case, round_number: int, seconds: float) -> None:
        row = contestant.rows.get(case.key) or Row(contestant.candidate.id, case)
        samples, parameters = self.suite.visit_samples, dict(case.parameters)
        if case.measure == OPEN_LOOP and self.suite.open_loop:
            rate = parameters["rate"] = self._rate(case)
            wanted = max(_FEWEST_ARRIVALS, round(rate * 4 * seconds))
            samples = min(wanted, self.suite.open_loop.arrivals)
        limits = {
            "seconds": seconds,
            "samples": samples,
            "warmup": 1 if row.rounds else self.suite.warmup,
            "round": round_number,
        }
        before, own = read_cpu_clock(), time.process_time()
        asked = vars(replace(case, parameters=parameters))
        answer = contestant.process.ask("visit", timeout=self._patience(), case=asked, limits=limits)
        own = time.process_time() - own + answer["cpu_seconds"]
        foreign = foreign_share(before, read_cpu_clock(), own)
        contestant.rows[case.key] = row
        row.rounds.append(answer["samples"])
        row.warmup += answer["warmup"]
        for stage, values in answer["stages"].items():
            row.stages.setdefault(stage, []).append(values)
        row.peak_host_bytes = max(row.peak_host_bytes, answer["peak_host_bytes"])
        if answer["device_bytes"] is not None:
            row.peak_device_bytes = max(row.peak_device_bytes or 0, answer["device_bytes"])
        if foreign is not None:
            row.foreign.append(round(foreign, 3))
        if answer["wall"] is not None:
            row.wall.append(answer["wall"])
        for name, value in answer["details"].items():
            row.details[name] = value if name == "rate" else row.details.get(name, 0.0) + value

    def _cold_start(self, contestant: Contestant, case: Case) -> None:
        row = contestant.rows.setdefault(case.key, Row(contestant.candidate.id, case))
        if row.rounds and row.rounds[0][0] > 1e3 * _SLOW_START:
            return
        with WorkerProcess(contestant.candidate.threads) as process:
            candidate = vars(contestant.candidate)
            answer = process.ask("open", timeout=self._patience(), folder=self.folder, candidate=candidate)
        add_cold_start(row, answer)

    def _rate(self, case: Case) -> float:
        """Arrivals a second: as given, or a share of what the first candidate answers.

        It is settled once, so that all candidates and rounds get the same arrivals.
        """
        if "rate" in case.parameters:
            return case.parameters["rate"]
        if case.key not in self._rates:
            wanted = Case(QUERY, {"candidates": case.parameters["candidates"], "clients": 1}).key
            row = self.contestants[0].rows.get(wanted)
            if row is None:
                raise CandidateError(f"a load is a share of what {wanted!r} answers, which was not measured")
            self._rates[case.key] = round(case.parameters["load"] * row.throughput, 3)
        return self._rates[case.key]

    def _patience(self) -> float | None:
        """Seconds that a visit may take at most; a first one may turn out long."""
        return None if self.deadline is None else max(1.0, self.deadline - time.perf_counter() + _GRACE)

    def _left(self) -> float | None:
        """Seconds that the visits still to come take, by those that were made; at most the budget."""
        if not self._cost:
            return None
        estimate = (self._visits - self._done) * sum(self._cost.values()) / len(self._cost)
        if self.deadline is None:
            return estimate
        return min(estimate, max(0.0, self.deadline - time.perf_counter()))


def add_cold_start(row: Row, answer: Mapping[str, Any]) -> None:
    """Count one start of a process; each is a round of its own."""
    stages = {name: rounded(value) for name, value in answer["milliseconds"].items()}
    row.rounds.append([rounded(sum(stages.values()))])
    for stage, value in stages.items():
        row.stages.setdefault(stage, []).append([value])
    row.peak_host_bytes = max(row.peak_host_bytes, answer["peak_host_bytes"])
