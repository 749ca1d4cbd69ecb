from pathlib import Path

import pytest

from cfack_bench.lineup import Wanted
from cfack_bench.run import BenchOptions, run_bench
from cfack_bench.suite import Suite


@pytest.mark.gpu
def test_a_cuda_candidate_is_measured_with_its_device_memory(toy_bundle: Path, small_suite: Suite) -> None:
    wanted = Wanted(backends=("onnxruntime",), device="cuda", threads=1)

    results = run_bench(BenchOptions(toy_bundle, small_suite, "small", wanted))

    assert {row.candidate for row in results.rows} == {"onnxruntime@cuda/fp32"}, results.not_run
    rows = [row for row in results.rows if row.case.measure != "cold_start"]
    assert all((row.peak_device_bytes or 0) > 0 for row in rows)
    assert all(row.limit_ms is None for row in rows)
