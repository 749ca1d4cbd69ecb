"""Whose turn it is, with processes that only answer."""

from __future__ import annotations

import time
from typing import Any

from cfack_bench.candidates import Candidate
from cfack_bench.cases import expand
from cfack_bench.contestant import Contestant
from cfack_bench.pace import Pace
from cfack_bench.process import CandidateError
from cfack_bench.schedule import BUDGET, Schedule
from cfack_bench.suite_file import suite_from
from cfack_runtime.errors import BackendError
from cfack_runtime.manifest import Geometry

SUITE = suite_from({"rounds": 3, "image_encoding": {"batch": [1]}, "text_encoding": {"tokens": [5]}})


class Answers:
    """Says what a worker says; `refuses` and `dies_at` are parts of the keys of cases."""

    def __init__(self, refuses: str = "never", dies_at: str = "never") -> None:
        self.asked: list[str] = []
        self.refuses, self.dies_at = refuses, dies_at

    def ask(self, do: str, *, timeout: float | None = None, **request: Any) -> dict[str, Any]:
        key = f"{request['case']['measure']} {dict(request['case']['parameters'])}"
        self.asked.append(key)
        if self.refuses in key:
            raise CandidateError("the graph cannot be captured")
        if self.dies_at in key:
            raise BackendError("its process ended")
        answer = {"samples": [1.0, 1.0], "warmup": [2.0], "stages": {}, "wall": None, "details": {}}
        return {**answer, "cpu_seconds": 0.0, "peak_host_bytes": 1, "device_bytes": 7}


def contestant(backend: str, device: str, **faults: str) -> tuple[Contestant, Answers]:
    process = Answers(**faults)
    return Contestant(Candidate(backend, "fp32", device, 1), process), process  # type: ignore[arg-type]


def test_only_who_has_a_gpu_is_asked_for_calls_on_one(toy_geometry: Geometry) -> None:
    (on_cpu, cpu), (on_gpu, gpu) = contestant("onnxruntime", "cpu"), contestant("tensorrt", "cuda")
    schedule = Schedule(SUITE, expand(SUITE, toy_geometry, gpu=True), [on_cpu, on_gpu], "")

    assert schedule.run() == ""

    assert len(cpu.asked) == 3 * 2
    assert len(gpu.asked) == 3 * (2 + 2 * 2)
    assert not any(key.startswith("gpu_") for key in on_cpu.rows)
    assert {row.peak_device_bytes for row in on_gpu.rows.values()} == {7}
    assert all(len(row.rounds) == 3 for row in on_gpu.rows.values())


def test_a_case_that_cannot_be_done_is_listed_once_and_the_others_go_on(toy_geometry: Geometry) -> None:
    one, process = contestant("onnxruntime", "cuda", refuses="'cuda_graph': 1")
    schedule = Schedule(SUITE, expand(SUITE, toy_geometry, gpu=True), [one], "")

    schedule.run()

    assert [entry.what for entry in schedule.not_run] == [
        "onnxruntime@cuda/fp32: gpu_image_encoding batch=1 cuda_graph=1",
        "onnxruntime@cuda/fp32: gpu_text_encoding batch=1 tokens=5 cuda_graph=1",
    ]
    assert len(process.asked) == 3 * 4 + 2
    assert len(one.rows) == 4


def test_a_process_that_died_is_not_asked_again(toy_geometry: Geometry) -> None:
    one, process = contestant("onnxruntime", "cpu", dies_at="text_encoding")
    other, _ = contestant("plain-onnxruntime", "cpu")
    schedule = Schedule(SUITE, expand(SUITE, toy_geometry), [one, other], "")

    schedule.run()

    assert len(process.asked) == 2
    assert [entry.reason for entry in schedule.not_run] == ["its process ended"]
    assert all(len(row.rounds) == 3 for row in other.rows.values())


def test_a_deadline_ends_the_rounds_before_a_visit_that_does_not_fit(toy_geometry: Geometry) -> None:
    one, process = contestant("onnxruntime", "cpu")
    cases = expand(SUITE, toy_geometry)
    schedule = Schedule(SUITE, cases, [one], "", deadline=time.perf_counter() - 1)

    assert schedule.run() == BUDGET
    assert process.asked == []


def test_visits_are_shortened_to_what_the_budget_leaves_each() -> None:
    pace = Pace(visits=10, deadline=time.perf_counter() + 5.0)

    assert 0.3 < pace.visit_seconds(2.0) <= 0.4
    assert pace.visit_seconds(0.1) == 0.1
    assert Pace(visits=10).visit_seconds(2.0) == 2.0
    pace.count("a", "case", 9.0)  # its next visit is taken to last as long, and does not fit
    assert not pace.allows("a", "case", 0.1)
    assert pace.allows("b", "case", 0.1)
