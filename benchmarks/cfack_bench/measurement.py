"""The timed part of a run: candidates are opened, visited in rounds, and asked for their accuracy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from cfack_bench.candidates import (
    AUTOCAST,
    BUILDERS,
    ENGINES,
    NEED_CHECKPOINT,
    PYTORCH,
    Account,
    Candidate,
    Lineup,
    NotRun,
)
from cfack_bench.cases import COLD_START, TITLES, Case
from cfack_bench.ceiling import Ceiling
from cfack_bench.contestant import Contestant
from cfack_bench.options import BenchOptions
from cfack_bench.process import CandidateError, WorkerProcess
from cfack_bench.progress import BenchProgress
from cfack_bench.results import Results, account_json, is_enough
from cfack_bench.schedule import BUDGET, INTERRUPTED, Schedule
from cfack_bench.suite import Suite
from cfack_runtime.errors import BackendError

_FOR_OPENING = 0.25
"""Share of what is left of the budget that opening one candidate may take."""
_FOR_ACCURACY = 0.25
"""Share of the budget that is kept for the measurement of accuracy, if there is one."""


class Measurement:
    """The candidates of a run and what is measured of them.

    Args:
        suite: how often and how long.
        cases: what is measured.
        lineup: who takes part; learns what could not run.
        folder: of the workload.
        deadline: on `time.perf_counter`, or None.
        report: gets the progress.
        workers: ends the processes.
    """

    def __init__(
        self,
        suite: Suite,
        cases: Sequence[Case],
        lineup: Lineup,
        folder: Path,
        deadline: float | None,
        report: BenchProgress,
        workers: ExitStack,
    ) -> None:
        self._suite, self._cases, self._lineup = suite, cases, lineup
        self._folder, self._deadline, self._report, self._workers = folder, deadline, report, workers
        self._contestants: list[Contestant] = []

    @property
    def on_cpu(self) -> list[Account]:
        """Those that are timed on the CPU."""
        return [account for account in self._lineup.measured if account.candidate.device == "cpu"]

    def run(self, results: Results, seed: int, *, accuracy: bool, score: str) -> str:
        """Open the candidates, make the rounds, measure accuracy; returns why it ended early.

        Args:
            results: get rounds and accuracy.
            seed: of the order of visits.
            accuracy: whether it is measured, if the suite asks for it.
            score: what candidates are put in order by then.
        """
        accuracy = accuracy and self._suite.accuracy is not None
        for account in self._lineup.measured:
            self._report(f"Opening {account.candidate.id}", 0.0, None)
            self._open(account.candidate)
        if not self._contestants:
            return ""
        deadline = self._deadline
        if deadline is not None and accuracy:
            deadline -= _FOR_ACCURACY * max(0.0, deadline - time.perf_counter())
        schedule = Schedule(
            self._suite,
            self._cases,
            self._contestants,
            str(self._folder),
            deadline,
            seed,
            self._report,
            self._lineup.gpu,
            results.rounds,
            self._lineup.not_run,
        )
        stopped = schedule.run()
        if accuracy and stopped != INTERRUPTED:
            self._measure_accuracy(results, score)
        return stopped

    def collect(self, results: Results, ceiling: Ceiling, stopped: str, options: BenchOptions) -> None:
        """Put rows, accounts and what is missing into the results."""
        self._drop_without_accuracy(results)
        results.candidates = [account_json(account) for account in self._lineup.accounts]
        for contestant in self._contestants:
            for row in contestant.rows.values():
                row.limit_ms = ceiling.milliseconds(contestant.candidate, row.case)
            results.rows += [contestant.rows[case.key] for case in self._cases if case.key in contestant.rows]
        if stopped:
            self._note_missing(stopped, options)
        results.not_run = [asdict(entry) for entry in self._lineup.not_run]

    def _open(self, candidate: Candidate) -> None:
        left = self._seconds_left()
        if left is not None and left <= 0:
            reason = "the budget ran out before it was opened"
            self._lineup.drop(candidate, NotRun(candidate.id, reason, _command(candidate)))
            return
        process = self._workers.enter_context(WorkerProcess(candidate.threads))
        try:
            limit = None if left is None else max(1.0, _FOR_OPENING * left)
            answer = process.ask("open", timeout=limit, folder=self._folder, candidate=vars(candidate))
        except (CandidateError, BackendError) as error:
            process.close()
            self._lineup.drop(candidate, NotRun(candidate.id, str(error), _command(candidate)))
            return
        contestant = Contestant(candidate, process)
        self._contestants.append(contestant)
        for case in self._cases:
            if case.measure == COLD_START:
                contestant.add_start(case, answer)

    def _seconds_left(self) -> float | None:
        return None if self._deadline is None else self._deadline - time.perf_counter()

    def _measure_accuracy(self, results: Results, score: str) -> None:
        assert self._suite.accuracy is not None  # asked before
        # In the order of who needs it most; the other baselines calculate what one of these does.
        order = (*ENGINES, AUTOCAST, PYTORCH)
        asked = sorted(
            (one for one in self._contestants if not one.dead and one.candidate.backend in order),
            key=lambda one: order.index(one.candidate.backend),
        )
        for index, contestant in enumerate(asked):
            name, left = contestant.candidate.id, self._seconds_left()
            self._report(f"Accuracy, {name}", 1.0, left)
            seconds = None if left is None else max(0.0, left / (len(asked) - index))
            try:
                depths = self._suite.accuracy.candidates
                curve = contestant.process.ask("accuracy", depths=depths, seconds=seconds, score=score)
            except (CandidateError, BackendError) as error:
                self._lineup.not_run.append(NotRun(f"{name}: accuracy", str(error)))
                continue
            results.accuracy.append({"candidate": name, **curve})
            if not is_enough(curve):
                reason = f"the budget left time for {curve['questions']} of {curve['wanted']} questions"
                self._lineup.not_run.append(NotRun(f"{name}: R@1", reason))

    def _drop_without_accuracy(self, results: Results) -> None:
        """Autocast has no parity report: without a measurement here its speed is not told."""
        for contestant in list(self._contestants):
            candidate = contestant.candidate
            if candidate.backend == AUTOCAST and not results.curve(candidate.id):
                self._contestants.remove(contestant)
                reason = "its accuracy was not measured in time, and no speed is given without it"
                self._lineup.drop(candidate, NotRun(f"baseline {AUTOCAST}", reason, _command(candidate)))

    def _note_missing(self, stopped: str, options: BenchOptions) -> None:
        """List what was not reached before the end."""
        why = f"the budget of {options.budget:g} s ran out" if stopped == BUDGET else "interrupted"
        missed: dict[str, list[str]] = {}
        for case in self._cases:
            without = [c.candidate.id for c in self._contestants if c.takes(case) and case.key not in c.rows]
            if without:
                missed.setdefault(", ".join(without), []).append(case.measure)
        for names, measures in missed.items():
            counts = {TITLES[name]: measures.count(name) for name in dict.fromkeys(measures)}
            titles = (f"{title}, {count} sizes" if count > 1 else title for title, count in counts.items())
            what = f"{'; '.join(titles)}: {names}"
            self._lineup.not_run.append(NotRun(what, why, options.command_without_budget))


def _command(candidate: Candidate) -> str:
    """That would measure a candidate alone, in all the time it takes."""
    words = ["cfack bench BUNDLE --backend", candidate.backend]
    if candidate.backend in ENGINES:
        words += ["--precision", candidate.precision]
    if candidate.device != "cpu" and not (candidate.backend in BUILDERS and candidate.device == "cuda"):
        words += ["--device", candidate.device]
    if candidate.backend in NEED_CHECKPOINT:
        words.append("--checkpoint CHECKPOINT")
    if candidate.backend == AUTOCAST:
        words.append("--data DATA")
    return " ".join(words)
