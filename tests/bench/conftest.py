from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfack_bench.cases import Case
from cfack_bench.lineup import Wanted
from cfack_bench.options import BenchOptions
from cfack_bench.results import Results
from cfack_bench.row import Row
from cfack_bench.run import run_bench
from cfack_bench.suite import Suite
from cfack_bench.suite_file import suite_from
from cfack_runtime.bundle import write_bundle
from cfack_runtime.manifest import Geometry

SMALL: dict[str, Any] = {
    "rounds": 4,
    "visit_seconds": 0.05,
    "visit_samples": 6,
    "warmup": 1,
    "query": {"candidates": [0, 4], "clients": [1, 2], "gallery": 8},
    "open_loop": {"candidates": [4], "rates": [300.0], "arrivals": 6},
    "image_encoding": {"batch": [1, 2]},
    "text_encoding": {"tokens": [5, 40]},
    "reranking": {"candidates": [2], "tokens": [6]},
    "search": {"gallery": [100], "k": 5},
    "cold_start": {"rounds": 1},
}


@pytest.fixture(scope="session")
def small_suite() -> Suite:
    """Every measurement at the smallest size."""
    return suite_from(SMALL)


@pytest.fixture(scope="session")
def mixed_bundle(
    tmp_path_factory: pytest.TempPathFactory,
    toy_graphs: Path,
    toy_geometry: Geometry,
    toy_tokenizer_json: str,
) -> Path:
    """Three precisions, of which `int8` did not pass its gate; do not change it."""
    bundle = write_bundle(
        tmp_path_factory.mktemp("mixed") / "mixed.cfack",
        graphs={"fp32": toy_graphs, "int8-cpu": toy_graphs, "int8": toy_graphs},
        geometry=toy_geometry,
        tokenizer_json=toy_tokenizer_json,
        checkpoint_sha256="0123456789abcdef" * 4,
        readme="# A toy\n",
        parity={
            "fp32": {"passed": True, "image_encoder_error": 1e-6},
            "int8-cpu": {
                "passed": True,
                "retrieval_measured": True,
                "dual_r1": 40.5,
                "reranked_r1": 44.25,
            },
            "int8": {"passed": False, "retrieval_measured": True, "reranked_r1": 3.0},
        },
    )
    return bundle.path


@pytest.fixture(scope="session")
def toy_results(toy_bundle: Path, small_suite: Suite) -> Results:
    """A whole run of the toy model; do not change it."""
    wanted = Wanted(backends=("onnxruntime", "plain-onnxruntime"), threads=1)
    return run_bench(BenchOptions(toy_bundle, small_suite, "small", wanted))


@pytest.fixture
def made_up() -> Callable[..., Results]:
    """Results with given samples: `made_up({("onnxruntime/fp32", "search"): rounds})`."""

    def make(rows: dict[tuple[str, str], list[list[float]]], **header: Any) -> Results:
        accounts = [
            {
                "id": name,
                "backend": name.partition("/")[0],
                "precision": name.partition("/")[2],
                "device": "cpu",
                "threads": 1,
                "status": "measured",
                "parity": {"passed": True, "reranker_error": 1e-6},
                "note": "",
                "model_bytes": 1000,
            }
            for name in dict.fromkeys(name for name, _ in rows)
        ]
        machine = {"processor": "P", "threads": 1, "physical_cores_usable": 1, "governor": "g"}
        values = {"created": "", "command": "", "suite": {}, "seconds": 0.0, "stopped": "", "inputs": {}}
        values |= {"machine": machine, "bundle": {"model": {}}, **header}
        sizes = {"search": {"gallery": 100, "queries": 1}, "query": {"candidates": 0, "clients": 1}}
        made = [
            Row(name, Case(measure, sizes.get(measure, {})), rounds)
            for (name, measure), rounds in rows.items()
        ]
        return Results("made-up", values, accounts, made)

    return make


@pytest.fixture
def noisy() -> Callable[..., list[list[float]]]:
    """Rounds of samples near a median, each round a little off: `noisy(10.0, seed=1)`."""

    def draw(median: float, seed: int, rounds: int = 6, samples: int = 20) -> list[list[float]]:
        random = np.random.default_rng(seed)
        return [
            (median * random.normal(1, 0.01) * random.lognormal(0, 0.03, samples)).tolist()
            for _ in range(rounds)
        ]

    return draw


@pytest.fixture
def without_samples() -> Callable[[Results, str], Results]:
    """The same results, with one candidate refused as a failed gate refuses it."""

    def refuse(results: Results, candidate: str) -> Results:
        return replace(
            results,
            rows=[row for row in results.rows if row.candidate != candidate],
            candidates=[
                {**account, "status": "refused"} if account["id"] == candidate else account
                for account in results.candidates
            ],
        )

    return refuse


@pytest.fixture
def command() -> Callable[..., Any]:
    """Run `cfack bench` with arguments."""
    from click.testing import CliRunner

    from cfack.cli.bench import command as bench

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(bench, [str(argument) for argument in arguments])

    return run
