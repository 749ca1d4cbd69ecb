"""One run: inputs, machine, candidates, rounds, accuracy, results."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cfack_bench.candidates import AUTOCAST, ENGINES, MEASURED, Account, Lineup, NotRun
from cfack_bench.cases import COLD_START, SEARCH, Case, expand
from cfack_bench.limits import MachineLimits
from cfack_bench.lineup import Wanted, choose_lineup
from cfack_bench.machine import describe_machine
from cfack_bench.prepare import Sources, prepare_inputs
from cfack_bench.process import CandidateError, WorkerProcess
from cfack_bench.results import Results, Row, account_json
from cfack_bench.schedule import (
    BUDGET,
    INTERRUPTED,
    BenchProgress,
    Contestant,
    Schedule,
    add_cold_start,
    no_bench_progress,
)
from cfack_bench.suite import ImageEncoding, OpenLoop, Suite, load_suite
from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import BackendError, UsageError

_FOR_WRITING = 1.0
"""Seconds of the budget for ending processes and writing files."""
_FOR_OPENING = 0.25
"""Share of what is left of the budget that opening one candidate may take."""
_FOR_ACCURACY = 0.25
"""Share of the budget that is kept for the measurement of accuracy, if there is one."""


@dataclass(frozen=True)
class BenchOptions:
    """What `cfack bench` is asked."""

    bundle: Path
    suite: Suite = field(default_factory=lambda: load_suite("quick"))
    suite_name: str = "quick"
    wanted: Wanted = field(default_factory=Wanted)
    data: Path | None = None
    gallery: Path | None = None
    batch: tuple[int, ...] = ()
    """Takes the place of the suite's image batches."""
    rates: tuple[float, ...] = ()
    """Arrivals a second; take the place of the suite's loads."""
    budget: float | None = None
    """Seconds for everything."""
    name: str = ""
    seed: int = 0
    command: str = "cfack bench BUNDLE"
    """That would measure the same, without paths."""


def run_bench(options: BenchOptions, report: BenchProgress = no_bench_progress) -> Results:
    """Measure a bundle.

    Ctrl-C, and the end of the budget, end the measurement and keep what is done.

    Raises:
        CfackError: what was asked for cannot be measured at all.
    """
    began = time.perf_counter()
    bundle = Bundle.open(options.bundle, check_graphs=False)
    suite = _overridden(options)
    cases = expand(suite, bundle.manifest.geometry)
    if not cases:
        raise UsageError(f"suite {options.suite_name}: asks for no measurement")
    lineup = choose_lineup(bundle, options.wanted)
    results = Results(options.name or bundle.path.stem, {}, [], [])
    results.header = {
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": options.command,
        "suite": {"name": options.suite_name, **asdict(suite)},
        "machine": describe_machine(options.wanted.threads),
        "bundle": _bundle_json(bundle),
    }
    with tempfile.TemporaryDirectory(prefix="cfack-bench-") as scratch, ExitStack() as workers:
        folder, stopped = Path(scratch), ""
        run = _Run(options, suite, cases, bundle, lineup, folder, began, report, workers)
        try:
            report("Making the inputs", 0.0, None)
            sources = Sources(options.data, options.gallery, options.wanted.checkpoint, options.seed)
            results.header["inputs"] = prepare_inputs(folder, bundle, suite, cases, sources)
            report("Measuring what the machine can do", 0.0, None)
            run.measure_limits()
            run.count_work()
            stopped = run.measure(results)
            if not stopped:
                run.measure_limits()
        except KeyboardInterrupt:
            stopped = INTERRUPTED
        run.collect(results, stopped)
    results.header["stopped"] = stopped
    results.header["seconds"] = round(time.perf_counter() - began, 1)
    return results


class _Run:
    """The parts of a run that share its state."""

    def __init__(
        self,
        options: BenchOptions,
        suite: Suite,
        cases: Sequence[Case],
        bundle: Bundle,
        lineup: Lineup,
        folder: Path,
        began: float,
        report: BenchProgress,
        workers: ExitStack,
    ) -> None:
        self._options, self._suite, self._cases, self._bundle = options, suite, cases, bundle
        self._lineup, self._folder, self._report, self._workers = lineup, folder, report, workers
        self._deadline = None if options.budget is None else began + options.budget - _FOR_WRITING
        self._limits: MachineLimits | None = None
        self._work: dict[str, dict[str, dict[str, float]]] = {}
        self._contestants: list[Contestant] = []

    @property
    def _asks_accuracy(self) -> bool:
        return self._options.data is not None and self._suite.accuracy is not None

    def measure_limits(self) -> None:
        """Measure the machine, in a process of its own; the better of all measurements counts."""
        threads = self._options.wanted.threads
        with WorkerProcess(threads) as process:
            found = MachineLimits.from_json(process.ask("limits", threads=threads))
        self._limits = found if self._limits is None else self._limits.better_of(found)

    def count_work(self) -> None:
        """Count the arithmetic of each precision's cases."""
        cases = [vars(case) for case in self._cases]
        for precision in {account.candidate.precision for account in self._measured()}:
            if precision not in self._bundle.manifest.graphs:
                continue
            with WorkerProcess(self._options.wanted.threads) as process:
                try:
                    answer = process.ask("work", bundle=self._bundle.path, precision=precision, cases=cases)
                    self._work[precision] = answer["work"]
                except (CandidateError, BackendError) as error:
                    what = f"share of the limit, {precision}"
                    self._lineup.not_run.append(NotRun(what, str(error)))

    def measure(self, results: Results) -> str:
        """Open the candidates, make the rounds, measure accuracy; returns why it ended early."""
        for account in self._measured():
            self._report(f"Opening {account.candidate.id}", 0.0, None)
            self._open(account)
        if not self._contestants:
            return ""
        deadline = self._deadline
        if deadline is not None and self._asks_accuracy:
            deadline -= _FOR_ACCURACY * max(0.0, deadline - time.perf_counter())
        schedule = Schedule(
            self._suite,
            self._cases,
            self._contestants,
            str(self._folder),
            deadline,
            self._options.seed,
            self._report,
            results.rounds,
            self._lineup.not_run,
        )
        stopped = schedule.run()
        if self._asks_accuracy and stopped != INTERRUPTED:
            self._accuracy(results)
        return stopped

    def collect(self, results: Results, stopped: str) -> None:
        """Put rows, accounts and what is missing into the results."""
        self._drop_without_accuracy(results)
        results.header["limits"] = None if self._limits is None else asdict(self._limits)
        results.candidates = [account_json(account) for account in self._lineup.accounts]
        for contestant in self._contestants:
            for row in contestant.rows.values():
                row.limit_ms = self._limit(contestant, row)
            results.rows += [contestant.rows[case.key] for case in self._cases if case.key in contestant.rows]
        self._note_missing(stopped)
        results.not_run = [asdict(entry) for entry in self._lineup.not_run]

    def _measured(self) -> list[Account]:
        return [account for account in self._lineup.accounts if account.status == MEASURED]

    def _open(self, account: Account) -> None:
        candidate = account.candidate
        process = self._workers.enter_context(WorkerProcess(candidate.threads))
        try:
            limit = None
            if self._deadline is not None:
                limit = max(1.0, _FOR_OPENING * (self._deadline - time.perf_counter()))
            answer = process.ask("open", timeout=limit, folder=self._folder, candidate=vars(candidate))
        except (CandidateError, BackendError) as error:
            process.close()
            self._lineup.accounts.remove(account)
            command = f"cfack bench BUNDLE --backend {candidate.backend} --device {candidate.device}"
            self._lineup.not_run.append(NotRun(candidate.id, str(error), command))
            return
        contestant = Contestant(candidate, process)
        self._contestants.append(contestant)
        cold = next((case for case in self._cases if case.measure == COLD_START), None)
        if cold is not None:
            contestant.rows[cold.key] = Row(candidate.id, cold)
            add_cold_start(contestant.rows[cold.key], answer)

    def _accuracy(self, results: Results) -> None:
        assert self._suite.accuracy is not None  # asked before
        for index, contestant in enumerate(self._contestants):
            if contestant.dead or contestant.candidate.backend not in (*ENGINES, AUTOCAST):
                continue  # a baseline's accuracy is that of FP32
            self._report(f"Accuracy, {contestant.candidate.id}", 1.0, None)
            seconds = None
            if self._deadline is not None:
                left = self._deadline - time.perf_counter()
                seconds = max(1.0, left / (len(self._contestants) - index))
            try:
                depths = self._suite.accuracy.candidates
                curve = contestant.process.ask("accuracy", depths=depths, seconds=seconds)
            except (CandidateError, BackendError) as error:
                what = f"{contestant.candidate.id}: accuracy"
                self._lineup.not_run.append(NotRun(what, str(error)))
                continue
            results.accuracy.append({"candidate": contestant.candidate.id, **curve})

    def _drop_without_accuracy(self, results: Results) -> None:
        """Autocast has no parity report: without a measurement here its speed is not told."""
        known = {entry["candidate"] for entry in results.accuracy}
        for contestant in list(self._contestants):
            if contestant.candidate.backend == AUTOCAST and contestant.candidate.id not in known:
                self._contestants.remove(contestant)
                what = f"baseline {AUTOCAST}"
                self._lineup.not_run.append(NotRun(what, "its accuracy was not measured in time"))
                self._lineup.accounts = [
                    account for account in self._lineup.accounts if account.candidate != contestant.candidate
                ]

    def _limit(self, contestant: Contestant, row: Row) -> float | None:
        precision = contestant.candidate.precision
        if self._limits is None or contestant.candidate.device != "cpu":
            return None
        work = self._work.get(precision, {}).get(row.case.key)
        if work is None or (precision != "fp32" and row.case.measure == SEARCH):
            work = self._work.get("fp32", {}).get(row.case.key, work)
        if work is None:
            return None
        return float(f"{self._limits.milliseconds(work['flops'], work['weight_bytes']):.5g}")

    def _note_missing(self, stopped: str) -> None:
        """List what was not reached before the end."""
        if not stopped:
            return
        why = f"the budget of {self._options.budget:g} s ran out" if stopped == BUDGET else "interrupted"
        for case in self._cases:
            without = [c.candidate.id for c in self._contestants if case.key not in c.rows and not c.dead]
            if without:
                what = f"{case.key}: {', '.join(without)}"
                self._lineup.not_run.append(NotRun(what, why, f"{self._options.command} without --budget"))


def _overridden(options: BenchOptions) -> Suite:
    suite = options.suite
    if options.batch:
        suite = replace(suite, image_encoding=ImageEncoding(options.batch))
    if options.rates:
        suite = replace(suite, open_loop=replace(suite.open_loop or OpenLoop(), rates=options.rates))
    return suite


def _bundle_json(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "name": bundle.path.name,
        "embedding_space": bundle.embedding_space,
        "checkpoint_sha256": manifest.checkpoint_sha256,
        "created_by": manifest.created_by,
        "model": asdict(manifest.geometry),
    }
