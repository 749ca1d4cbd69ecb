from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cfack_bench.candidates import REFUSED
from cfack_bench.lineup import Wanted
from cfack_bench.options import BenchOptions
from cfack_bench.results import Results, load_results
from cfack_bench.run import run_bench
from cfack_bench.schedule import BUDGET, INTERRUPTED
from cfack_bench.staged import STAGES
from cfack_bench.statistics import as_json, figures, flat
from cfack_bench.suite import Suite
from cfack_bench.suite_file import suite_from
from cfack_runtime.errors import BundleError, CfackError, DataError, ParityError, UsageError

ORT = Wanted(backends=("onnxruntime",), threads=1)


def test_every_case_of_every_candidate_has_its_rounds_and_samples(toy_results: Results) -> None:
    names = {row.candidate for row in toy_results.rows}
    assert names == {"onnxruntime/fp32", "plain-onnxruntime/fp32"}
    for name in names:
        keys = [row.case.key for row in toy_results.rows if row.candidate == name]
        assert keys == [
            "query candidates=0 clients=1",
            "query candidates=4 clients=1",
            "query candidates=0 clients=2",
            "query candidates=4 clients=2",
            "open_loop candidates=4 rate=300",
            "image_encoding batch=1",
            "image_encoding batch=2",
            "text_encoding batch=1 tokens=5",
            "text_encoding batch=1 tokens=10",
            "reranking candidates=2 tokens=6",
            "search gallery=100 queries=1 k=5",
            "cold_start",
        ]
    for row in toy_results.rows:
        if row.case.measure != "cold_start":
            assert len(row.rounds) == 4, row.case.key
            assert all(1 <= len(one) <= 12 for one in row.rounds)
        assert row.peak_host_bytes > 10 << 20
    assert toy_results.header["stopped"] == ""


def test_a_query_is_split_into_its_stages_and_they_add_up(toy_results: Results) -> None:
    row = next(row for row in toy_results.rows if row.case.key == "query candidates=4 clients=1")

    assert tuple(row.stages) == STAGES
    medians = {stage: figures(rounds).p50 for stage, rounds in row.stages.items()}
    assert all(value > 0 for value in medians.values())
    assert 0.2 * row.figures.p50 < sum(medians.values()) < 3 * row.figures.p50


def test_a_query_without_candidates_neither_reads_nor_reranks(toy_results: Results) -> None:
    row = next(row for row in toy_results.rows if row.case.key == "query candidates=0 clients=1")

    assert set(flat(row.stages["read tokens"])) == {0.0}
    assert set(flat(row.stages["re-rank"])) == {0.0}


def test_a_cold_start_is_a_process_of_its_own_and_has_its_parts(toy_results: Results) -> None:
    row = next(row for row in toy_results.rows if row.case.measure == "cold_start")

    assert set(row.stages) == {"import", "open", "first answer"}
    assert len(row.rounds) == 2  # opening for the run, and one more
    parts = [sum(one[place][0] for one in row.stages.values()) for place in range(2)]
    assert parts == pytest.approx([one[0] for one in row.rounds], rel=1e-3)


def test_every_figure_is_that_of_the_samples_in_the_file(toy_results: Results, tmp_path: Path) -> None:
    toy_results.save(tmp_path / "results.json")
    kept = json.loads((tmp_path / "results.json").read_text())

    for row in kept["rows"]:
        assert row["figures"] == as_json(figures(row["rounds_ms"]))
    read = load_results(tmp_path / "results.json")
    assert json.loads(json.dumps(read.to_json())) == kept


def test_the_file_names_neither_the_host_nor_a_path(toy_results: Results, toy_bundle: Path) -> None:
    import platform

    text = json.dumps(toy_results.to_json())

    assert platform.node() not in text
    assert str(toy_bundle.parent) not in text
    assert not re.search(r'"/\w', text)
    assert {"processor", "governor", "threads", "packages", "commit"} <= set(toy_results.header["machine"])
    assert len(toy_results.rounds) == 4
    assert all({"load1", "mhz"} <= set(state) for state in toy_results.rounds)


def test_work_is_counted_and_set_against_the_machine(toy_results: Results) -> None:
    limits = toy_results.header["limits"]
    assert limits["matmul_gflops"] > 0.1
    rows = {row.case.key: row for row in toy_results.rows if row.candidate == "onnxruntime/fp32"}
    # 100 embeddings of 3 numbers, read once and multiplied: the larger of both times.
    flops, byte_count = 2 * 100 * 3, 4 * 100 * 3
    reads = max(read["gbs"] for read in limits["reads"])
    expected = 1e3 * max(flops / (limits["matmul_gflops"] * 1e9), byte_count / (reads * 1e9))
    assert rows["search gallery=100 queries=1 k=5"].limit_ms == pytest.approx(expected, rel=1e-3)
    # (1, 4, 3) @ (3, 4): 2 * 16 * 3 operations an image.
    image = rows["image_encoding batch=2"].limit_ms
    assert image == pytest.approx(
        1e3 * max(192 / (limits["matmul_gflops"] * 1e9), 48 / (reads * 1e9)), rel=1e-3
    )


def test_a_precision_whose_gate_failed_gets_no_speed(mixed_bundle: Path) -> None:
    suite = suite_from({"rounds": 1, "visit_seconds": 0.01, "image_encoding": {}})

    results = run_bench(BenchOptions(mixed_bundle, suite, "one", ORT))

    assert {row.candidate for row in results.rows} == {"onnxruntime/fp32", "onnxruntime/int8-cpu"}
    refused = results.candidate("onnxruntime/int8")
    assert refused["status"] == REFUSED
    assert "parity gate did not pass, so no speed" in refused["note"]


def test_a_command_that_asks_for_a_failed_precision_exits_with_3(
    mixed_bundle: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    done = command(
        mixed_bundle, "--precision", "int8", "--out", tmp_path / "out", "--no-plots", "--budget", "20s"
    )

    assert isinstance(done.exception, ParityError)
    assert done.exception.exit_code == 3
    assert "gate failed" in done.output
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert rows == []


def test_ctrl_c_keeps_what_is_done(toy_bundle: Path, small_suite: Suite) -> None:
    def interrupt(doing: str, share: float, seconds_left: float | None, /) -> None:
        if share > 0.4:
            raise KeyboardInterrupt

    results = run_bench(BenchOptions(toy_bundle, small_suite, "small", ORT), interrupt)

    assert results.header["stopped"] == INTERRUPTED
    assert results.rows
    assert all(row.figures.samples for row in results.rows)


def test_a_budget_is_kept_and_what_it_cut_off_is_listed(toy_bundle: Path, small_suite: Suite) -> None:
    suite = replace(small_suite, rounds=1000)
    began = time.perf_counter()

    results = run_bench(BenchOptions(toy_bundle, suite, "small", ORT, budget=9.0))

    assert time.perf_counter() - began < 14
    assert results.header["stopped"] == BUDGET
    assert results.rows


def test_a_probability_of_a_bundle_that_is_not_fitted_is_refused_before_anything_is_measured(
    toy_bundle: Path, small_suite: Suite, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="the bundle holds no score calibration"):
        run_bench(BenchOptions(toy_bundle, small_suite, "s", ORT, data=tmp_path, score="probability"))


def test_what_cannot_run_is_listed_with_the_command_that_would(toy_bundle: Path) -> None:
    suite = suite_from({"rounds": 1, "visit_seconds": 0.01, "image_encoding": {}})

    results = run_bench(BenchOptions(toy_bundle, suite, "one", Wanted(threads=1)))

    listed = {entry["what"]: entry for entry in results.not_run}
    assert listed["baseline pytorch"]["reason"] == "it needs the checkpoint that the bundle was exported from"
    assert listed["baseline pytorch"]["command"] == (
        "cfack bench BUNDLE --backend pytorch --checkpoint CHECKPOINT"
    )
    assert any("GPU" in what for what in listed)


def test_a_device_that_is_not_there_is_listed_not_measured(toy_bundle: Path) -> None:
    suite = suite_from({"rounds": 1, "visit_seconds": 0.01, "image_encoding": {}})
    wanted = Wanted(backends=("onnxruntime",), device="cuda:99", threads=1)

    results = run_bench(BenchOptions(toy_bundle, suite, "one", wanted))

    assert results.rows == []
    (entry,) = [entry for entry in results.not_run if entry["what"] == "onnxruntime@cuda:99/fp32"]
    assert "cuda" in entry["reason"].lower()


def test_wrong_names_are_refused(toy_bundle: Path, small_suite: Suite, tmp_path: Path) -> None:
    def run(**wanted: Any) -> Results:
        return run_bench(BenchOptions(toy_bundle, small_suite, "small", Wanted(**wanted)))

    with pytest.raises(UsageError, match="no backend 'openvino'; expected one of onnxruntime"):
        run(backends=("openvino",))
    with pytest.raises(BundleError, match="holds no precision 'fp8', only fp32"):
        run(precisions=("fp8",))
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(UsageError, match="is not the checkpoint that toy.cfack was exported from"):
        run(checkpoint=tmp_path)


def test_files_that_are_no_results_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"format": "cfack-bench", "format_version": 9}')
    (tmp_path / "b.json").write_text("[]")

    with pytest.raises(DataError, match="expected 'cfack-bench' version 1; measure again"):
        load_results(tmp_path / "a.json")
    with pytest.raises(DataError, match=r"is no results\.json"):
        load_results(tmp_path / "b.json")
    (tmp_path / "d.json").write_text('{"format": "cfack-bench", "format_version": 1, "name": "d"}')
    with pytest.raises(DataError, match="holds no created, command, suite, machine, bundle"):
        load_results(tmp_path / "d.json")
    with pytest.raises(DataError, match="no such file"):
        load_results(tmp_path / "c.json")


def test_a_run_without_any_candidate_says_why(
    toy_bundle: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    done = command(
        toy_bundle, "--backend", "pytorch", "--out", tmp_path / "out", "--no-plots", "--budget", "20"
    )

    assert isinstance(done.exception, CfackError)
    assert "nothing can be measured:" in str(done.exception)
    assert "it needs the checkpoint" in str(done.exception)
