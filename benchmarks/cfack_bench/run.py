"""One run: inputs, machine, candidates, rounds, accuracy, results."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cfack_bench.cases import expand
from cfack_bench.ceiling import Ceiling
from cfack_bench.lineup import choose_lineup
from cfack_bench.machine import describe_machine
from cfack_bench.measurement import Measurement
from cfack_bench.options import BenchOptions
from cfack_bench.prepare import Sources, prepare_inputs
from cfack_bench.progress import BenchProgress, no_bench_progress
from cfack_bench.results import Results
from cfack_bench.schedule import INTERRUPTED
from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import CfackError, UsageError
from cfack_runtime.scoring import Scoring

_FOR_WRITING = 1.0
"""Seconds of the budget for ending processes and writing files."""


def run_bench(options: BenchOptions, report: BenchProgress = no_bench_progress) -> Results:
    """Measure a bundle.

    Ctrl-C, and the end of the budget, end the measurement and keep what is done.

    Raises:
        CfackError: what was asked for cannot be measured at all.
    """
    began = time.perf_counter()
    deadline = None if options.budget is None else began + options.budget - _FOR_WRITING
    bundle = Bundle.open(options.bundle, check_graphs=False)
    Scoring(options.score, bundle.manifest.score_calibration)  # refused before minutes of measuring
    suite, lineup = options.asked_suite, choose_lineup(bundle, options.wanted)
    cases = expand(suite, bundle.manifest.geometry, gpu=lineup.gpu != "cpu")
    if not cases:
        raise UsageError(f"suite {options.suite_name}: asks for no measurement")
    if not lineup.accounts:
        reasons = "\n".join(f"  {entry.what}: {entry.reason}" for entry in lineup.not_run)
        raise CfackError(f"nothing can be measured:\n{reasons}")
    results = Results(options.results_name, {}, [], [])
    results.header = {
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": options.command,
        "score": options.score,
        "suite": {"name": options.suite_name, **asdict(suite)},
        "machine": describe_machine(options.wanted.threads, lineup.gpu),
        "bundle": _bundle_json(bundle),
    }
    with tempfile.TemporaryDirectory(prefix="cfack-bench-") as scratch, ExitStack() as workers:
        folder, stopped = Path(scratch), ""
        ceiling = Ceiling(options.wanted.threads)
        measurement = Measurement(suite, cases, lineup, folder, deadline, report, workers)
        try:
            report("Making the inputs", 0.0, None)
            sources = Sources(options.data, options.gallery, options.wanted.checkpoint, options.seed)
            results.header["inputs"] = prepare_inputs(folder, bundle, suite, cases, sources)
            on_cpu = {account.candidate.precision for account in measurement.on_cpu}
            if on_cpu:
                report("Measuring what the machine can do", 0.0, None)
                ceiling.measure_machine()
                counted = sorted(on_cpu & set(bundle.manifest.graphs))
                ceiling.count_work(bundle.path, counted, cases, lineup)
            stopped = measurement.run(
                results, options.seed, accuracy=options.data is not None, score=options.score
            )
            if on_cpu and not stopped:
                ceiling.measure_machine()
        except KeyboardInterrupt:
            stopped = INTERRUPTED
        measurement.collect(results, ceiling, stopped, options)
    results.header["limits"] = ceiling.to_json()
    results.header["stopped"] = stopped
    results.header["seconds"] = round(time.perf_counter() - began, 1)
    return results


def _bundle_json(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "name": bundle.path.name,
        "embedding_space": bundle.embedding_space,
        "checkpoint_sha256": manifest.checkpoint_sha256,
        "created_by": manifest.created_by,
        "model": asdict(manifest.geometry),
    }
