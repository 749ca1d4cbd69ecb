from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cfack_bench.candidates import Candidate
from cfack_bench.cases import Case
from cfack_bench.contestant import Contestant
from cfack_bench.lineup import Wanted, choose_lineup
from cfack_runtime.bundle import Bundle
from cfack_runtime.engine import EngineEntry, ShapeRange
from cfack_runtime.errors import BackendError, UsageError
from cfack_runtime.manifest import FileEntry


@pytest.fixture
def with_engines(toy_bundle: Path) -> Bundle:
    """The toy bundle as if TensorRT engines of its three graphs were in it, of 100 bytes each."""
    bundle = Bundle.open(toy_bundle)
    profile = {"x": ShapeRange((1,), (1,), (1,))}
    engines = tuple(
        EngineEntry(
            FileEntry(f"engines/{name}.engine", "0" * 64, 100),
            "fp32",
            name,
            "tensorrt",
            "10.13",
            "8.9",
            (profile,),
            graph.file.sha256,
        )
        for name, graph in bundle.manifest.graphs["fp32"].items()
    )
    return replace(bundle, manifest=replace(bundle.manifest, engines=engines))


def ids(bundle: Bundle, wanted: Wanted) -> list[str]:
    return [account.candidate.id for account in choose_lineup(bundle, wanted).measured]


def test_engines_run_on_the_gpu_without_being_told_to(with_engines: Bundle) -> None:
    lineup = choose_lineup(with_engines, Wanted(backends=("tensorrt",)))

    assert [account.candidate.id for account in lineup.accounts] == ["tensorrt@cuda/fp32"]
    assert lineup.accounts[0].model_bytes == 300
    assert lineup.gpu == "cuda"


def test_on_a_gpu_the_bundles_engines_take_part_by_themselves(with_engines: Bundle) -> None:
    assert ids(with_engines, Wanted(device="cuda:1", baselines=False)) == [
        "onnxruntime@cuda:1/fp32",
        "tensorrt@cuda:1/fp32",
    ]
    assert ids(with_engines, Wanted(baselines=False)) == ["onnxruntime/fp32"]


def test_a_bundle_without_engines_names_the_commands_that_make_and_measure_them(toy_bundle: Path) -> None:
    lineup = choose_lineup(Bundle.open(toy_bundle), Wanted(backends=("tensorrt-rtx",)))

    (entry,) = lineup.not_run
    assert (lineup.accounts, entry.reason) == ([], "the bundle holds none")
    assert entry.command == (
        "cfack export --rebuild-engines BUNDLE --tensorrt-rtx && cfack verify BUNDLE --data DATA && "
        "cfack bench BUNDLE --backend tensorrt-rtx"
    )


def test_plain_onnxruntime_is_a_baseline_on_a_gpu_too(toy_bundle: Path) -> None:
    wanted = Wanted(backends=("plain-onnxruntime",), device="cuda")

    assert ids(Bundle.open(toy_bundle), wanted) == ["plain-onnxruntime@cuda/fp32"]


@pytest.mark.parametrize(
    ("gpus", "reason"),
    [
        (BackendError("no driver"), "this machine has no NVIDIA driver"),
        ((), "this machine has no CUDA device"),
    ],
)
def test_a_table_about_a_cpu_says_what_a_gpu_would_add(
    toy_bundle: Path, monkeypatch: pytest.MonkeyPatch, gpus: Any, reason: str
) -> None:
    def list_gpus() -> Any:
        if isinstance(gpus, BackendError):
            raise gpus
        return gpus

    monkeypatch.setattr("cfack_bench.lineup.list_gpus", list_gpus)

    missing = {entry.what: entry for entry in choose_lineup(Bundle.open(toy_bundle), Wanted()).not_run}

    assert missing["ONNX Runtime on a GPU"].reason == reason
    assert missing["TensorRT"].reason == f"the bundle holds no engines, and {reason}"


def test_a_device_of_no_known_name_is_refused(toy_bundle: Path) -> None:
    with pytest.raises(UsageError, match='device is \'gpu\', expected "cpu", "cuda" or "cuda:N"'):
        choose_lineup(Bundle.open(toy_bundle), Wanted(device="gpu"))


@pytest.mark.parametrize(
    ("backend", "device", "bound"),
    [
        ("onnxruntime", "cpu", False),
        ("onnxruntime", "cuda", True),
        ("tensorrt", "cuda", True),
        ("plain-onnxruntime", "cuda", False),
    ],
)
def test_calls_bound_to_a_gpu_are_for_those_that_have_one(backend: str, device: str, bound: bool) -> None:
    contestant = Contestant(Candidate(backend, "fp32", device, 1), None)  # type: ignore[arg-type]

    assert contestant.has(Case("gpu_image_encoding", {"batch": 1, "cuda_graph": 0})) is bound
    assert contestant.has(Case("image_encoding", {"batch": 1}))


def test_graphs_made_for_a_cpu_are_left_out_on_a_gpu_and_listed(mixed_bundle: Path) -> None:
    bundle = Bundle.open(mixed_bundle)

    lineup = choose_lineup(bundle, Wanted(device="cuda", baselines=False))

    assert [account.candidate.id for account in lineup.measured] == ["onnxruntime@cuda/fp32"]
    (entry,) = lineup.not_run
    assert entry.what == "onnxruntime@cuda/int8-cpu"
    assert entry.command == "cfack bench BUNDLE --backend onnxruntime --precision int8-cpu"
    assert ids(bundle, Wanted(device="cuda", baselines=False, precisions=("int8-cpu",))) == [
        "onnxruntime@cuda/int8-cpu"
    ]
