"""The process of one candidate: opens it, then does one request after the other.

Requests and answers are JSON, one a line, on stdin and stdout. Whatever a library prints goes to stderr.
Nothing heavy is imported before the first request, so that importing counts in the cold start.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from cfack_bench.engines import Engine
    from cfack_bench.gpu import DeviceMemory
    from cfack_bench.tasks import Tasks


class Worker:
    """Answers requests by the method of their name."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._tasks: Tasks | None = None
        self._folder = Path()
        self._device_memory: DeviceMemory | None = None

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Import, open, answer once: the cold start, in milliseconds."""
        began = time.perf_counter()
        from cfack_bench.candidates import Candidate
        from cfack_bench.engines import open_engine
        from cfack_bench.memory import peak_bytes
        from cfack_bench.tasks import Tasks
        from cfack_bench.workload import read_workload

        self._folder = Path(request["folder"])
        # What torch.compile keeps on the disk would make the next start a warm one.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", tempfile.mkdtemp(dir=self._folder))
        workload = read_workload(self._folder)
        candidate = Candidate(**request["candidate"])
        if candidate.device != "cpu":
            from cfack_bench.gpu import DeviceMemory

            asking = time.perf_counter()
            self._device_memory = DeviceMemory(candidate.device)
            self._device_memory.begin()
            began += time.perf_counter() - asking  # which is no part of the start
        _import_library(candidate.backend)
        imported = time.perf_counter()
        self._engine = open_engine(candidate, workload)
        opened = time.perf_counter()
        self._tasks = Tasks(self._engine, workload, self._folder)
        self._tasks.first_answer()
        answered = time.perf_counter()
        stages = {"import": imported - began, "open": opened - imported, "first answer": answered - opened}
        return {
            "milliseconds": {name: 1e3 * seconds for name, seconds in stages.items()},
            "peak_host_bytes": peak_bytes(),
            "device_bytes": self._device_bytes(),
        }

    def visit(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take samples of a case; says the CPU time that this process spent meanwhile."""
        from cfack_bench.cases import Case
        from cfack_bench.memory import peak_bytes, reset_peak
        from cfack_bench.settle import settle
        from cfack_bench.visits import Limits

        assert self._tasks is not None  # `open` comes first
        if self._device_memory is not None:
            self._device_memory.begin()
        reset_peak()
        cpu = time.process_time()  # after whatever is asked about memory
        visit = self._tasks.visit(Case(**request["case"]), Limits(**request["limits"]))
        settle()  # the next candidate gets processors that nobody spins on
        return {
            **vars(visit),
            "cpu_seconds": time.process_time() - cpu,
            "peak_host_bytes": peak_bytes(),
            "device_bytes": self._device_bytes(),
        }

    def _device_bytes(self) -> int | None:
        return None if self._device_memory is None else self._device_memory.end()

    def accuracy(self, request: dict[str, Any]) -> dict[str, Any]:
        """Measure R@1 against candidates."""
        from cfack_bench.accuracy import measure_accuracy
        from cfack_bench.workload import read_workload
        from cfack_runtime.bundle import Bundle
        from cfack_runtime.scoring import Scoring

        assert self._engine is not None  # `open` comes first
        workload = read_workload(self._folder)
        manifest = Bundle.open(workload.bundle, check_graphs=False).manifest
        scoring = Scoring(request["score"], manifest.score_calibration)
        depths, seconds = request["depths"], request["seconds"]
        return vars(measure_accuracy(self._engine, workload, manifest.geometry, depths, seconds, scoring))

    def work(self, request: dict[str, Any]) -> dict[str, Any]:
        """Count the arithmetic of the cases of a precision."""
        from cfack_bench.cases import Case
        from cfack_bench.work import count_work

        cases = [Case(**case) for case in request["cases"]]
        found = count_work(Path(request["bundle"]), request["precision"], cases)
        return {"work": {key: vars(work) for key, work in found.items()}}

    def limits(self, request: dict[str, Any]) -> dict[str, Any]:
        """Measure the machine's matrix product and memory."""
        from dataclasses import asdict

        from cfack_bench.limits import measure_limits

        return asdict(measure_limits(request["threads"]))


def _import_library(backend: str) -> None:
    """Importing PyTorch takes seconds and belongs to the import, not to the opening."""
    import importlib.util

    from cfack_bench.candidates import BASELINES, NEED_CHECKPOINT, ONNXRUNTIME

    if backend in NEED_CHECKPOINT:
        importlib.import_module("cfack_bench.torch_engine")
    elif backend in (*BASELINES, ONNXRUNTIME) and importlib.util.find_spec("onnxruntime"):
        importlib.import_module("onnxruntime")


def serve(requests: TextIO, answers: TextIO, handlers: object) -> None:
    """Answer until the requests end; our own errors travel as their message."""
    from cfack_runtime.errors import CfackError

    for line in requests:
        request = json.loads(line)
        handler: Callable[[dict[str, Any]], dict[str, Any]] = getattr(handlers, request.pop("do"))
        try:
            answer = handler(request)
        except (CfackError, MemoryError, OSError, RuntimeError, ImportError) as error:
            text = str(error).strip() or type(error).__name__
            answer = {"error": text if isinstance(error, CfackError) else f"{type(error).__name__}: {text}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    """Keep stdout for the answers; a library that prints writes to stderr instead."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers, Worker())


if __name__ == "__main__":
    main()
