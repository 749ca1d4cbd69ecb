from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from cfack_bench.cases import Case
from cfack_bench.lineup import Wanted
from cfack_bench.options import BenchOptions
from cfack_bench.report.csv_file import csv_text
from cfack_bench.report.html import html_page
from cfack_bench.report.markdown import markdown
from cfack_bench.report.plots import draw_plots
from cfack_bench.report.readme import block_names, export_table, table_text, with_table
from cfack_bench.report.terminal import print_results
from cfack_bench.results import Results, load_results
from cfack_bench.row import Row
from cfack_bench.run import run_bench
from cfack_bench.suite_file import suite_from
from cfack_runtime.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def mixed_results(mixed_bundle: Path) -> Results:
    suite = suite_from(
        {
            "rounds": 2,
            "visit_seconds": 0.02,
            "image_encoding": {"batch": [1, 2]},
            "query": {"candidates": [0, 4], "gallery": 8},
        }
    )
    return run_bench(BenchOptions(mixed_bundle, suite, "mixed", Wanted(backends=("onnxruntime",), threads=1)))


def printed(results: Results) -> str:
    console = Console(width=80, file=io.StringIO(), highlight=False)
    print_results(results, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_shows_everything_in_80_columns_without_cutting(toy_results: Results) -> None:
    text = printed(toy_results)

    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for title in ("Summary", "Whole query, open loop", "Stages of a query", "Image encoding", "Cold start"):
        assert title in text
    assert "Machine: " in text


def test_accuracy_stands_beside_every_speed_and_a_failed_gate_has_none(mixed_results: Results) -> None:
    lines = [
        line for line in printed(mixed_results).splitlines() if re.match(r"ORT int8 +(no speed|-)", line)
    ]

    assert len(lines) >= 2
    for line in lines:
        assert line.rstrip().endswith("gate failed")
        # No figure stands in it but the size of the model in the summary.
        assert len(re.findall(r"(?<!int)\b[\d.]+\b", line.replace("int8", ""))) <= 1
    text = printed(mixed_results)
    assert re.search(r"ORT int8-cpu +0 .*R@1 40.5", text)
    assert re.search(r"ORT int8-cpu +4 .*R@1 44.2", text)
    assert re.search(r"ORT fp32 +0 .*err 1e-06", text)


def test_csv_holds_every_row_and_an_empty_one_for_a_failed_gate(mixed_results: Results) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(mixed_results))))

    assert len(rows) == len(mixed_results.rows) + 1
    (refused,) = [row for row in rows if row["precision"] == "int8"]
    assert (refused["status"], refused["p50"], refused["parity_passed"]) == ("refused", "", "False")
    measured = [row for row in rows if row["status"] == "measured"]
    assert all(float(row["p50"]) > 0 and row["unit"] for row in measured)


def test_markdown_tables_are_whole(mixed_results: Results) -> None:
    text = markdown(mixed_results)

    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert "## No speed" in text
    assert "parity gate passed, R@1 40.5 dual encoder, R@1 44.2 re-ranked" in text
    assert "parity gate not passed" in text
    assert "## Conditions" in text


def test_plots_are_images_and_the_page_needs_nothing_else(toy_results: Results) -> None:
    plots = draw_plots(toy_results)

    assert set(plots) == {"latency-candidates.png", "latency-batch.png", "stages.png"}
    for data in plots.values():
        image = Image.open(io.BytesIO(data))
        assert image.width > 500
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 20
    page = html_page(toy_results, plots)
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert page.count("data:image/png") == 3
    found = re.search(r'id="results">(.*?)</script>', page, re.DOTALL)
    assert found
    assert json.loads(found[1]) == json.loads(json.dumps(toy_results.to_json()))


def test_throughput_against_accuracy_is_drawn_where_accuracy_was_measured(toy_results: Results) -> None:
    points = [{"candidates": 0, "r1": 30.0}, {"candidates": 4, "r1": 35.0}]
    measured = Results(
        **{
            **vars(toy_results),
            "accuracy": [{"candidate": "onnxruntime/fp32", "questions": 60, "points": points}],
        }
    )

    assert "throughput-accuracy.png" in draw_plots(measured)


def test_a_documents_table_is_written_between_its_markers(toy_results: Results, tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text("before\n<!-- cfack-bench toy -->\nstale\n<!-- /cfack-bench -->\nafter\n")

    export_table(tmp_path / "README", toy_results)
    once = document.read_text()
    export_table(document, toy_results)

    assert once == document.read_text()
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    assert "stale" not in once
    assert "| CFACK, ONNX Runtime, fp32 |" in once


def test_a_document_without_markers_is_left_alone(toy_results: Results) -> None:
    with pytest.raises(UsageError, match="holds no markers for 'toy'"):
        with_table("nothing here", toy_results)


@pytest.mark.parametrize("document", ["README.md", "docs/bench.md"])
def test_committed_tables_are_those_of_the_committed_results(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    names = block_names(text)

    assert names or document == "README.md"
    for name in names:
        if re.search(rf"<!-- cfack-bench {name} -->\n\s*<!-- /cfack-bench -->", text):
            continue  # nothing measured stands there yet, so nothing can differ
        results = load_results(ROOT / "benchmarks" / "results" / f"{name}.json")
        assert table_text(results) in text, (
            f"run: cfack bench report benchmarks/results/{name}.json --export-table"
        )


def test_the_command_writes_every_form_of_report(
    toy_bundle: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    suite = tmp_path / "tiny.toml"
    suite.write_text("rounds = 2\nvisit_seconds = 0.02\n[query]\ncandidates = [0, 2]\ngallery = 4\n")
    out = tmp_path / "out"

    done = command(toy_bundle, "--suite", suite, "--threads", "1", "--no-baselines", "--out", out)

    assert done.exit_code == 0, done.output
    assert {path.name for path in out.iterdir()} == {
        *("results.json", "results.md", "results.csv", "report.html"),
        *("latency-candidates.png", "stages.png"),
    }
    kept = load_results(out / "results.json")
    assert kept.header["command"] == "cfack bench BUNDLE --suite tiny.toml --no-baselines --threads 1"
    again = command("report", out / "results.json", "--no-plots")
    assert again.exit_code == 0
    assert "Stages of a query" in again.output


def test_help_shows_the_options_and_the_other_commands(command: Callable[..., Any]) -> None:
    text = command("--help").output

    for word in ("--suite", "--budget", "--export-table", "compare", "report"):
        assert word in text


def with_accuracy(results: Results, questions: int, wanted: int) -> Results:
    points = [{"candidates": 0, "r1": 30.0}, {"candidates": 4, "r1": 35.0}]
    entry = {
        "candidate": "onnxruntime/fp32",
        "images": 40,
        "questions": questions,
        "wanted": wanted,
        "points": points,
    }
    return Results(**{**vars(results), "accuracy": [entry]})


@pytest.mark.parametrize(
    ("questions", "wanted", "shown"), [(200, 200, True), (3, 200, False), (3, 3, True), (50, 200, True)]
)
def test_an_r1_of_few_questions_is_not_shown_unless_there_are_no_more(
    toy_results: Results, questions: int, wanted: int, shown: bool
) -> None:
    text = printed(with_accuracy(toy_results, questions, wanted))

    assert ("R@1 35.0" in text) == shown
    assert ("R@1 35.0" in markdown(with_accuracy(toy_results, questions, wanted))) == shown


def test_plain_calls_have_the_accuracy_of_the_same_graphs(toy_results: Results) -> None:
    text = printed(with_accuracy(toy_results, 200, 200))

    assert re.search(r"plain ORT fp32 +4 .*R@1 35.0", text)
    assert "so each is known to 7 points" in " ".join(text.split())


def test_another_score_than_the_official_one_is_said_and_not_mixed_with_the_gates(
    toy_results: Results,
) -> None:
    header = {**toy_results.header, "score": "probability"}
    measured = with_accuracy(toy_results, 200, 200)
    summary = {"passed": True, "retrieval_measured": True, "dual_r1": 41.0, "reranked_r1": 43.0}
    accounts = [{**account, "parity": summary} for account in toy_results.candidates]
    unmeasured = Results(**{**vars(toy_results), "candidates": accounts})

    assert "Re-ranked by" not in printed(measured)
    assert "Re-ranked by probability." in printed(replace(measured, header=header))
    # The gate's figure is by logit: it stands beside no query of a run that ranks otherwise.
    assert "R@1 43.0" in markdown(unmeasured)
    text = markdown(replace(unmeasured, header=header))
    assert re.search(r"\| ORT fp32 \| 0 \|.*R@1 41.0", text)
    assert not re.search(r"\| ORT fp32 \| 4 \|.*R@1 43.0", text)


def test_a_call_on_a_gpu_is_shown_with_its_transfers(toy_results: Results) -> None:
    account = {**toy_results.candidates[0], "id": "tensorrt@cuda/fp16", "backend": "tensorrt"}
    account |= {"precision": "fp16", "device": "cuda"}
    rows = []
    for captured in (0, 1):
        case = Case("gpu_image_encoding", {"batch": 8, "cuda_graph": captured}, 8)
        row = Row("tensorrt@cuda/fp16", case, [[3.0 - captured] * 12] * 2, peak_device_bytes=512_000_000)
        parts = {"transfer in": 0.25, "device": 2.0 - captured, "transfer out": 0.5}
        row.stages = {part: [[value] * 12] * 2 for part, value in parts.items()}
        rows.append(row)
    results = Results(**{**vars(toy_results), "candidates": [account], "rows": rows})

    text = printed(results)

    assert "Image encoding on the GPU, transfers apart" in text
    assert re.search(r"batch +p50 ms +± +in +device +out +images/s +accuracy", text)
    assert re.search(r"TensorRT fp16 +8 +3.00 +0% +0.250 +2.00 +0.500 +2667 +err", text)
    assert re.search(r"TensorRT fp16 +8 graph +2.00 +0% +0.250 +1.00 +0.500", text)
    assert max(map(len, text.splitlines())) <= 80
    (first, _) = csv.DictReader(io.StringIO(csv_text(results)))
    assert (first["transfer_in_ms"], first["device_ms"], first["cuda_graph"]) == ("0.25", "2.0", "0.0")


def test_long_names_are_folded_and_no_figure_is_cut(toy_results: Results) -> None:
    def renamed(value: str) -> str:
        return value.replace("onnxruntime/", "onnxruntime@cuda:1/")

    accounts = [
        {**account, "id": renamed(account["id"]), "device": "cuda:1"} for account in toy_results.candidates
    ]
    rows = [replace(row, candidate=renamed(row.candidate)) for row in toy_results.rows]
    text = printed(Results(**{**vars(toy_results), "candidates": accounts, "rows": rows}))

    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
