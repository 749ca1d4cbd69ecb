"""The least time that this machine's measured rates allow for the rows of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cfack_bench.candidates import Candidate, Lineup, NotRun
from cfack_bench.cases import SEARCH, Case
from cfack_bench.limits import MachineLimits
from cfack_bench.process import CandidateError, WorkerProcess
from cfack_runtime.errors import BackendError

_FP32 = "fp32"


class Ceiling:
    """What the machine can do and what each case asks for, measured in processes of their own.

    Args:
        threads: CPU threads.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._limits: MachineLimits | None = None
        self._work: dict[str, dict[str, dict[str, float]]] = {}

    def measure_machine(self) -> None:
        """Measure arithmetic and reading; the better of all measurements counts."""
        with WorkerProcess(self._threads) as process:
            found = MachineLimits.from_json(process.ask("limits", threads=self._threads))
        self._limits = found if self._limits is None else self._limits.better_of(found)

    def count_work(self, bundle: Path, precisions: Sequence[str], cases: Sequence[Case], out: Lineup) -> None:
        """Count the arithmetic of the cases in each precision; `out` learns what could not be counted."""
        asked = [vars(case) for case in cases]
        for precision in precisions:
            with WorkerProcess(self._threads) as process:
                try:
                    answer = process.ask("work", bundle=bundle, precision=precision, cases=asked)
                    self._work[precision] = answer["work"]
                except (CandidateError, BackendError) as error:
                    out.not_run.append(NotRun(f"share of the limit, {precision}", str(error)))

    def milliseconds(self, candidate: Candidate, case: Case) -> float | None:
        """Least time for a case; None where it is not known, as on a GPU."""
        if self._limits is None or candidate.device != "cpu":
            return None
        work = self._work.get(candidate.precision, {}).get(case.key)
        if work is None or (candidate.precision != _FP32 and case.measure == SEARCH):
            work = self._work.get(_FP32, {}).get(case.key, work)
        if work is None:
            return None
        return float(f"{self._limits.milliseconds(work['flops'], work['weight_bytes']):.5g}")

    def to_json(self) -> dict[str, Any] | None:
        """Member `limits` of results.json."""
        return None if self._limits is None else asdict(self._limits)
