"""The whole way on a GPU; every case that asks for one, with CUDA graphs off and on."""

from pathlib import Path

import pytest

from cfack_bench.device.call import PARTS
from cfack_bench.lineup import Wanted
from cfack_bench.options import BenchOptions
from cfack_bench.results import Results
from cfack_bench.run import run_bench
from cfack_bench.suite import Suite
from cfack_bench.suite_file import suite_from

SUITE = suite_from(
    {
        "rounds": 2,
        "visit_seconds": 0.2,
        "image_encoding": {"batch": [1, 4]},
        "text_encoding": {"tokens": [12]},
        "reranking": {"candidates": [4], "tokens": [12]},
        "query": {"candidates": [0, 4], "gallery": 8},
    }
)


def check(results: Results, candidates: set[str]) -> None:
    """Rows of every candidate, with transfers and graph apart, and with device memory."""
    assert {row.candidate for row in results.rows} == candidates, results.not_run
    assert results.header["machine"]["gpu"]["name"]
    for row in results.rows:
        assert (row.peak_device_bytes or 0) > 0, row.key
        assert row.limit_ms is None
        if row.case.on_device:
            assert tuple(row.stages) == PARTS
            assert all(value >= 0 for rounds in row.stages.values() for one in rounds for value in one)
    for name in candidates:
        bound = [row for row in results.rows if row.candidate == name and row.case.on_device]
        captured = {row.case.parameters["cuda_graph"] for row in bound}
        # What cannot be captured must be listed.
        listed = any("cuda_graph=1" in entry["what"] for entry in results.not_run)
        assert captured == {0, 1} or (captured == {0} and listed), results.not_run


@pytest.mark.gpu
def test_onnxruntime_on_cuda_is_measured_with_transfers_apart(toy_bundle: Path, small_suite: Suite) -> None:
    wanted = Wanted(backends=("onnxruntime",), device="cuda", threads=1)

    check(run_bench(BenchOptions(toy_bundle, SUITE, "gpu", wanted)), {"onnxruntime@cuda/fp32"})


@pytest.mark.gpu
def test_pytorch_on_cuda_is_measured_with_cuda_graphs(trained_tiny: Path) -> None:
    checkpoint = next(path.parent for path in sorted(trained_tiny.rglob("best/model.safetensors")))
    wanted = Wanted(backends=("pytorch",), device="cuda", threads=1, checkpoint=checkpoint)

    check(run_bench(BenchOptions(trained_tiny / "person.cfack", SUITE, "gpu", wanted)), {"pytorch@cuda/fp32"})


@pytest.mark.tensorrt
@pytest.mark.parametrize("builder", ["tensorrt", "tensorrt-rtx"])
def test_engines_of_a_bundle_are_measured(trained_tiny: Path, tmp_path: Path, builder: str) -> None:
    """Needs engines that were built and verified here: the commands that `not_run` names, on a copy."""
    import shutil
    import subprocess
    import sys

    bundle = Path(shutil.copytree(trained_tiny / "person.cfack", tmp_path / "person.cfack"))
    cfack = [sys.executable, "-m", "cfack"]
    subprocess.run([*cfack, "export", "--rebuild-engines", str(bundle), f"--{builder}"], check=True)
    data = str(trained_tiny / "data")
    subprocess.run([*cfack, "verify", str(bundle), "--data", data, "--backend", builder], check=True)

    results = run_bench(BenchOptions(bundle, SUITE, "gpu", Wanted(backends=(builder,), threads=1)))

    check(results, {f"{builder}@cuda/fp32"})
