from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cfack_bench.accuracy import measure_accuracy
from cfack_bench.candidates import Candidate
from cfack_bench.engines import open_engine
from cfack_bench.workload import Question, Workload
from cfack_runtime.errors import CfackError
from cfack_runtime.manifest import Geometry
from cfack_runtime.scoring import ScoreCalibration, Scoring

Save = Callable[[Path, list[str]], None]


def test_recall_is_measured_at_every_depth(
    toy_bundle: Path, toy_geometry: Geometry, tmp_path: Path, save_bands: Save
) -> None:
    # For "red" the dual encoder prefers red-top; the re-ranker, which sees the bottom, prefers red-bottom.
    bands = {"top": ["red", "red", "blue"], "bottom": ["blue", "blue", "red"], "green": ["green"]}
    for name, colors in bands.items():
        save_bands(tmp_path / f"{name}.png", colors)
    workload = Workload(
        bundle=toy_bundle,
        checkpoint=None,
        gallery=None,
        captions=(),
        k=1,
        seed=0,
        images=tuple(tmp_path / f"{name}.png" for name in bands),
        identities=(1, 2, 3),
        questions=(Question("a person in red", 2), Question("a green coat", 3)),
    )
    for backend in ("onnxruntime", "plain-onnxruntime"):
        engine = open_engine(Candidate(backend, "fp32", "cpu", 1), workload)

        curve = measure_accuracy(engine, workload, toy_geometry, (0, 2, 50), None)
        # A calibration that hardly looks at the re-ranker, which leaves the dual encoder's order.
        by_cosine = Scoring("probability", ScoreCalibration(1e-9, 0.0, 100, "0" * 64, cosine=1.0))
        scored = measure_accuracy(engine, workload, toy_geometry, (0, 2), None, by_cosine)

        engine.close()
        assert [point["r1"] for point in scored.points] == [50.0, 50.0]
        assert (curve.images, curve.questions) == (3, 2)
        assert [(point["candidates"], point["r1"]) for point in curve.points] == [
            (0, 50.0),
            (2, 100.0),
            (3, 100.0),
        ]


def test_images_that_the_budget_leaves_no_time_for_are_an_error_and_no_figure(
    toy_bundle: Path, toy_geometry: Geometry, tmp_path: Path, save_bands: Save
) -> None:
    save_bands(tmp_path / "a.png", ["red"])
    workload = Workload(toy_bundle, None, None, (), 1, 0, (tmp_path / "a.png",), (1,), (Question("red", 1),))
    engine = open_engine(Candidate("onnxruntime", "fp32", "cpu", 1), workload)

    with pytest.raises(CfackError, match="the budget left time for 0 of 1 images"):
        measure_accuracy(engine, workload, toy_geometry, (0,), 0.0)

    engine.close()


def test_a_run_ranks_by_the_score_that_it_was_asked_for(trained_tiny: Path) -> None:
    from cfack_bench.lineup import Wanted
    from cfack_bench.options import BenchOptions
    from cfack_bench.run import run_bench
    from cfack_bench.suite_file import suite_from

    suite = suite_from(
        {
            "rounds": 1,
            "visit_seconds": 0.01,
            "text_encoding": {"tokens": [12]},
            "accuracy": {"candidates": [0, 32], "captions": 60, "images": 100},
        }
    )
    bundle, data = trained_tiny / "person.cfack", trained_tiny / "data"
    wanted = Wanted(backends=("onnxruntime",), precisions=("fp32",), threads=1, has_data=True)
    runs = {
        score: run_bench(BenchOptions(bundle, suite, "s", wanted, data=data, score=score))
        for score in ("logit", "log-odds", "probability")
    }

    points = {score: results.curve("onnxruntime/fp32") for score, results in runs.items()}
    assert {results.header["score"] for results in runs.values()} == points.keys()
    assert points["logit"][0] == points["probability"][0]  # nothing is re-ranked
    assert len({json.dumps(found[1]) for found in points.values()}) == 3


@pytest.mark.slow
def test_pytorch_and_its_bundle_give_the_same_accuracy_and_stand_in_one_table(trained_tiny: Path) -> None:
    from cfack_bench.lineup import Wanted
    from cfack_bench.options import BenchOptions
    from cfack_bench.run import run_bench
    from cfack_bench.suite_file import suite_from

    checkpoint = next(path.parent for path in sorted(trained_tiny.rglob("best/model.safetensors")))
    suite = suite_from(
        {
            "rounds": 1,
            "visit_seconds": 0.1,
            "query": {"candidates": [8], "gallery": 32},
            "accuracy": {"captions": 20},
        }
    )
    backends = ("onnxruntime", "pytorch", "torch-autocast")
    wanted = Wanted(backends=backends, threads=1, checkpoint=checkpoint, has_data=True)

    results = run_bench(
        BenchOptions(trained_tiny / "person.cfack", suite, "s", wanted, data=trained_tiny / "data")
    )

    assert {row.candidate for row in results.rows} == {
        "onnxruntime/fp32",
        "pytorch/fp32",
        "torch-autocast/autocast",
    }
    measured = {entry["candidate"]: entry["points"] for entry in results.accuracy}
    assert measured.keys() == {"onnxruntime/fp32", "torch-autocast/autocast", "pytorch/fp32"}
    assert [point["r1"] for point in measured["onnxruntime/fp32"]] == [
        point["r1"] for point in measured["pytorch/fp32"]
    ]
