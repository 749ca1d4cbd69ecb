"""Engines built for real, by TensorRT-RTX on a CPU: NVIDIA's parser and builder judge our graphs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cfack_export.engines import BatchRange, EngineOptions, ProfileSettings, rebuild_engines, require_targets
from cfack_export.engines.builder import build_engine
from cfack_export.export import export_bundle
from cfack_export.options import EngineRequest, ExportOptions
from cfack_runtime.backends.engine_gpu import Gpu
from cfack_runtime.backends.engine_library import EngineLibrary, LibraryLog
from cfack_runtime.backends.engine_open import deserialize, open_engine
from cfack_runtime.bundle import Bundle
from cfack_runtime.engine import EngineEntry, Profile, ShapeRange
from cfack_runtime.errors import BackendError, BundleError, UsageError
from cfack_runtime.graph_contract import GRAPHS

RTX = "tensorrt-rtx"
SMALL = EngineOptions(
    profiles=ProfileSettings(BatchRange(1, 2, 4), BatchRange(1, 2, 4), BatchRange(1, 2, 4), (6,))
)


@pytest.fixture(scope="session")
def library() -> EngineLibrary:
    """A machine that runs these tests has the library; without it they fail and say what to install."""
    return require_targets(RTX)[0]


@pytest.fixture(scope="session")
def built(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    copy = tmp_path_factory.mktemp("rtx") / "tiny.cfack"
    shutil.copytree(bundle.path, copy)
    return rebuild_engines(copy, RTX, ["8.9", "12.0"], SMALL)


def test_every_graph_becomes_an_engine_for_every_target(built: Bundle, library: EngineLibrary) -> None:
    assert [(e.graph, e.compute_capability) for e in built.manifest.engines] == [
        (graph, target) for graph in built.graphs("fp32") for target in ("8.9", "12.0")
    ]
    assert {e.graph for e in built.manifest.engines} >= set(GRAPHS)
    for engine in built.manifest.engines:
        assert (engine.builder, engine.builder_version) == (RTX, library.version)
        assert (engine.precision, engine.gpu, engine.compatibility, engine.verified) == (
            "fp32",
            "",
            "none",
            False,
        )
        assert engine.onnx_sha256 == built.graph("fp32", engine.graph).file.sha256
        assert engine.file.path.startswith(f"engines/{RTX}-{library.version}/sm")
    texts = next(e for e in built.manifest.engines if e.graph == "text_encoder")
    assert [profile["input_ids"].max for profile in texts.profiles] == [(4, 6), (4, 12)]


@pytest.mark.timeout(900)
def test_export_builds_engines_of_every_precision_that_tensorrt_knows(
    exported: Bundle, all_precisions: ExportOptions, trained_tiny: Path, tmp_path: Path
) -> None:
    """All that was exported before is reused: what takes its time is NVIDIA's builder."""
    options = EngineOptions(ProfileSettings(length_buckets=()))
    request = replace(all_precisions, engines=[EngineRequest(RTX, ("8.9",), options)])
    checkpoint = trained_tiny / "run" / "best"
    built = Bundle.open(export_bundle(checkpoint, tmp_path / "tiny.cfack", request)).manifest

    assert built.graphs == exported.manifest.graphs
    assert [(e.precision, e.graph) for e in built.engines] == [
        (precision, graph) for precision in ("fp32", "fp16", "int8") for graph in sorted(built.graphs["fp32"])
    ]
    assert all(e.onnx_sha256 == built.graphs[e.precision][e.graph].file.sha256 for e in built.engines)
    assert not any(e.verified for e in built.engines)

    again = rebuild_engines(tmp_path / "tiny.cfack", RTX, ["12.0"], options, precisions=["int8"]).manifest
    targets = {(e.precision, e.compute_capability) for e in again.engines}
    assert targets == {("fp32", "8.9"), ("fp16", "8.9"), ("int8", "12.0")}


def test_new_engines_take_the_place_of_old_ones(built: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(built.path, tmp_path / "copy.cfack"))
    again = rebuild_engines(copy, RTX, (), SMALL)
    assert {e.target for e in again.manifest.engines} == {"compute capability 8.0 and newer"}
    files = {str(path.relative_to(copy)) for path in (copy / "engines").rglob("*.engine")}
    assert files == {e.file.path for e in again.manifest.engines}
    assert not [path for path in copy.iterdir() if path.name.startswith(".")]


def test_progress_counts_up_to_its_total(bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy.cfack"))
    calls: list[tuple[int, int]] = []
    rebuild_engines(copy, RTX, ["8.6"], SMALL, progress=lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls)
    assert calls[0][0] == 0
    assert calls[-1] == (1000 * len(bundle.graphs("fp32")),) * 2
    assert len({done for done, _ in calls}) > 10


def test_rebuilding_needs_neither_torch_nor_onnx(bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy.cfack"))
    blocked = ("torch", "onnx", "onnxruntime", "transformers", "timm", "safetensors")
    code = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in blocked)
    code += "from cfack_export.engines import rebuild_engines\n"
    code += f"print(len(rebuild_engines({str(copy)!r}, {RTX!r}, ['8.9']).manifest.engines))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(len(bundle.graphs("fp32")))], done.stderr


def test_targets_are_those_that_the_library_knows(library: EngineLibrary) -> None:
    assert {"8.6", "8.9", "12.0"} <= library.targets.keys()
    assert "NONE" not in library.targets
    with pytest.raises(UsageError, match=r"knows no target '9.9', expected ampere\+ or one of 7.5, 8.0, 8.6"):
        require_targets(RTX, ["9.9"])
    _, targets = require_targets(RTX, ["8.9", "8.9", "ampere+"])
    assert [target.folder for target in targets] == ["sm89", "sm80-ampere-plus"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (EngineOptions(compatibility="same-compute-capability"), "no compatibility"),
        (EngineOptions(version_compatible=True), "no version_compatible"),
        (EngineOptions(timing_cache=Path("cache")), "no timing_cache"),
    ],
)
def test_what_rtx_would_ignore_is_refused(options: EngineOptions, named: str) -> None:
    with pytest.raises(UsageError, match=f"TensorRT-RTX has {named}"):
        require_targets(RTX, ["8.9"], options)


def model(path: Path, *nodes: onnx.NodeProto, outputs: str = "y") -> Path:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])]
    results = [helper.make_tensor_value_info(outputs, TensorProto.FLOAT, None)]
    weight = numpy_helper.from_array(np.eye(16, dtype=np.float32), "w")
    graph = helper.make_graph(list(nodes), "g", inputs, results, [weight])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(proto.SerializeToString())
    return path


PROFILE: tuple[Profile, ...] = ({"x": ShapeRange((1, 16), (2, 16), (4, 16))},)


def build(
    library: EngineLibrary, path: Path, profiles: tuple[Profile, ...] = PROFILE, **options: object
) -> bytes:
    targets = require_targets(RTX, ["8.9"])[1]
    return build_engine(library, path, profiles, targets[0], EngineOptions(**options))  # type: ignore[arg-type]


def test_an_operator_that_the_parser_does_not_take_is_named(library: EngineLibrary, tmp_path: Path) -> None:
    path = model(
        tmp_path / "graph.onnx",
        helper.make_node("MatMul", ["x", "w"], ["a"], name="fine"),
        helper.make_node("Det", ["a"], ["y"], name="layers.3/Det"),
    )
    with pytest.raises(BackendError, match=r"graph\.onnx: tensorrt-rtx .*'layers\.3/Det' \(Det\)"):
        build(library, path)


def test_a_file_that_is_no_onnx_is_refused(library: EngineLibrary, tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(b"not protobuf")
    with pytest.raises(BundleError, match=r"graph\.onnx: no valid ONNX file: wire type 6 at byte 0"):
        build(library, tmp_path / "graph.onnx")


def test_weights_in_other_files_are_refused_before_the_parser(library: EngineLibrary, tmp_path: Path) -> None:
    path = model(tmp_path / "graph.onnx", helper.make_node("MatMul", ["x", "w"], ["y"]))
    proto = onnx.load(path)
    onnx.save(proto, path, save_as_external_data=True, size_threshold=0, location="weights.bin")
    with pytest.raises(BundleError, match=r"graph\.onnx: .*external data"):
        build(library, path)


def test_profiles_of_other_inputs_are_refused(library: EngineLibrary, tmp_path: Path) -> None:
    path = model(tmp_path / "graph.onnx", helper.make_node("MatMul", ["x", "w"], ["y"]))
    with pytest.raises(BackendError, match="profile 0 has shapes of z, but the graph takes x"):
        build(library, path, ({"z": PROFILE[0]["x"]},))


def test_too_little_workspace_is_named(library: EngineLibrary, bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy.cfack"))
    options = EngineOptions(workspace=16)
    before = (copy / "manifest.json").read_bytes()
    with pytest.raises(BackendError, match=r"cannot build an engine .* limited to 16 bytes, allow more"):
        rebuild_engines(copy, RTX, ["8.9"], options)
    assert (copy / "manifest.json").read_bytes() == before
    assert sorted(path.name for path in copy.iterdir()) == sorted(path.name for path in bundle.path.iterdir())


def test_a_precision_that_cannot_be_had_is_refused(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="engines of int8 cannot be built, only of fp32"):
        rebuild_engines(bundle.path, RTX, ["8.9"], precisions=["int8"])


def entry_of(built: Bundle, graph: str) -> EngineEntry:
    return next(e for e in built.manifest.engines if e.graph == graph)


def test_a_machine_without_a_gpu_says_so_and_loads_nothing(
    built: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_gpu(index: int) -> Gpu:
        raise BackendError("the NVIDIA driver sees no GPU")

    monkeypatch.setattr("cfack_runtime.backends.engine_open.find_gpu", no_gpu)
    with pytest.raises(BackendError, match="the NVIDIA driver sees no GPU"):
        open_engine(built, entry_of(built, "reranker"))


def test_bytes_that_are_no_engine_are_refused_by_the_library_itself(
    built: Bundle, library: EngineLibrary
) -> None:
    entry = entry_of(built, "reranker")
    with pytest.raises(BackendError, match=rf"x\.engine: {RTX} .*(cannot run here|cannot load)"):
        deserialize(library, LibraryLog(), Path("x.engine"), entry, b"no engine at all" * 100)


def test_tensorrt_without_library_or_gpu_is_one_sentence(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: EngineLibrary
) -> None:
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy.cfack"))
    before = sorted(copy.rglob("*"))
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(
        BackendError, match=r"^tensorrt cannot be imported .*pip install 'cfack\[tensorrt\]'`$"
    ):
        rebuild_engines(copy, "tensorrt")

    def no_gpu(index: int) -> Gpu:
        raise BackendError("there is no NVIDIA driver here")

    monkeypatch.setitem(sys.modules, "tensorrt", library.module)
    monkeypatch.setattr("cfack_export.engines.targets.find_gpu", no_gpu)
    with pytest.raises(
        BackendError, match="^tensorrt engines are built on the GPU that will run them, and there is"
    ):
        rebuild_engines(copy, "tensorrt")
    with pytest.raises(
        UsageError, match="tensorrt builds for the GPU that is here; leave the targets 8.9 out"
    ):
        rebuild_engines(copy, "tensorrt", ["8.9"])
    assert sorted(copy.rglob("*")) == before


def test_tensorrt_builds_on_the_gpu_that_is_here(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: EngineLibrary
) -> None:
    """The one API: TensorRT-RTX's module stands in for TensorRT's, and a name for the GPU."""
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy.cfack"))
    monkeypatch.setitem(sys.modules, "tensorrt", library.module)
    monkeypatch.setattr(
        "cfack_export.engines.targets.find_gpu", lambda index: Gpu(index, "NVIDIA L4 (x)", "8.9", "13.0")
    )
    cache = tmp_path / "new" / "timings"
    options = EngineOptions(
        ProfileSettings(length_buckets=()), compatibility="ampere+", timing_cache=cache, optimization_level=1
    )
    for _ in range(2):  # the second one reads the cache
        with pytest.warns(DeprecationWarning, match="TensorRT-RTX"):  # it keeps the calls and ignores them
            built = rebuild_engines(copy, "tensorrt", (), options, gpu=1)
        assert cache.stat().st_size > 0
    engine = entry_of(built, "image_encoder")
    assert (engine.builder, engine.gpu, engine.compute_capability) == ("tensorrt", "NVIDIA L4 (x)", "8.9")
    assert engine.compatibility == "ampere+"
    assert f"/tensorrt-{library.version}/sm89-nvidia-l4-x-ampere-plus/fp32/" in f"/{engine.file.path}"
