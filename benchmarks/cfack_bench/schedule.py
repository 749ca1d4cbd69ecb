"""Who is visited when: candidates take turns, so that a slow minute of the machine hits them all."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cfack_bench.candidates import NotRun
from cfack_bench.cases import COLD_START, OPEN_LOOP, QUERY, TITLES, Case
from cfack_bench.contestant import Contestant
from cfack_bench.machine import foreign_share, read_cpu_clock, state
from cfack_bench.pace import Pace
from cfack_bench.process import CandidateError, WorkerProcess
from cfack_bench.progress import BenchProgress, no_bench_progress
from cfack_bench.suite import Suite
from cfack_runtime.errors import BackendError

BUDGET, INTERRUPTED = "budget", "interrupted"

_FEWEST_ARRIVALS = 5
_SLOW_START = 10.0
"""A start that took this many seconds is not made again."""


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
        gpu: whose state is noted beside that of the machine; "cpu" for none.
    """

    suite: Suite
    cases: Sequence[Case]
    contestants: Sequence[Contestant]
    folder: str
    deadline: float | None = None
    seed: int = 0
    report: BenchProgress = no_bench_progress
    gpu: str = "cpu"
    machine: list[dict[str, Any]] = field(default_factory=list)
    """State of the machine at the begin of each round."""
    not_run: list[NotRun] = field(default_factory=list)
    _rates: dict[str, float] = field(default_factory=dict)

    def run(self) -> str:
        """Make all rounds; returns why it ended early: "", `BUDGET` or `INTERRUPTED`."""
        pace = Pace(self._visits, self.deadline)
        seconds = pace.visit_seconds(self.suite.visit_seconds)
        began, stopped = time.perf_counter(), ""
        try:
            for round_number in range(self.suite.rounds):
                if pace.is_over:
                    return BUDGET
                second = round(time.perf_counter() - began, 1)
                self.machine.append({"second": second, **state(self.gpu)})
                for case in self.cases:
                    if case.measure == COLD_START and round_number >= self._cold_starts:
                        continue
                    for contestant in self._turns(round_number, case):
                        if pace.allows(contestant.candidate.id, case.key, seconds):
                            self._visit(contestant, case, round_number, seconds, pace)
                        else:  # a shorter one may fit
                            stopped = BUDGET
        except KeyboardInterrupt:
            return INTERRUPTED
        return stopped

    @property
    def _cold_starts(self) -> int:
        return self.suite.cold_start.rounds if self.suite.cold_start else 0

    @property
    def _visits(self) -> int:
        """Of all rounds and candidates."""
        rounds = self.suite.rounds
        return sum(
            (min(self._cold_starts, rounds) if case.measure == COLD_START else rounds)
            for case in self.cases
            for contestant in self.contestants
            if contestant.has(case)
        )

    def _turns(self, round_number: int, case: Case) -> list[Contestant]:
        turns = [contestant for contestant in self.contestants if contestant.takes(case)]
        random.Random(f"{self.seed} {round_number} {case.key}").shuffle(turns)
        return turns

    def _visit(
        self, contestant: Contestant, case: Case, round_number: int, seconds: float, pace: Pace
    ) -> None:
        name = contestant.candidate.id
        self.report(f"{TITLES[case.measure]}, {name}", pace.share, pace.left)
        began = time.perf_counter()
        try:
            if case.measure == COLD_START:
                self._start(contestant, case, pace.patience())
            else:
                self._ask(contestant, case, round_number, seconds, pace.patience())
        except CandidateError as error:
            contestant.given_up.add(case.key)
            self.not_run.append(NotRun(f"{name}: {case.key}", str(error)))
        except BackendError as error:
            contestant.dead = True
            self.not_run.append(NotRun(f"{name}: from {case.key} on", str(error)))
        pace.count(name, case.key, time.perf_counter() - began)

    def _ask(
        self,
        contestant: Contestant,
        case: Case,
        round_number: int,
        seconds: float,
        patience: float | None,
    ) -> None:
        samples, parameters = self.suite.visit_samples, dict(case.parameters)
        if case.measure == OPEN_LOOP and self.suite.open_loop:
            rate = parameters["rate"] = self._rate(case)
            wanted = max(_FEWEST_ARRIVALS, round(rate * 4 * seconds))
            samples = min(wanted, self.suite.open_loop.arrivals)
        limits = {
            "seconds": seconds,
            "samples": samples,
            "warmup": 1 if case.key in contestant.rows else self.suite.warmup,
            "round": round_number,
        }
        before, own = read_cpu_clock(), time.process_time()
        asked = vars(replace(case, parameters=parameters))
        answer = contestant.process.ask("visit", timeout=patience, case=asked, limits=limits)
        own = time.process_time() - own + answer["cpu_seconds"]
        contestant.add_visit(case, answer, foreign_share(before, read_cpu_clock(), own))

    def _start(self, contestant: Contestant, case: Case, patience: float | None) -> None:
        row = contestant.rows.get(case.key)
        if row and row.rounds[0][0] > 1e3 * _SLOW_START:
            return
        with WorkerProcess(contestant.candidate.threads) as process:
            candidate = vars(contestant.candidate)
            answer = process.ask("open", timeout=patience, folder=self.folder, candidate=candidate)
        contestant.add_start(case, answer)

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
