"""The whole export of a trained model in every precision, and what refuses it."""

import json
import logging
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.numpy import load_file, save_file

from cfack_export import int8_stage
from cfack_export.export import export_bundle
from cfack_export.options import ExportOptions
from cfack_export.precision import fp16
from cfack_export.precision.int8 import to_int8
from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import BundleError, DataError, ParityError, UsageError
from cfack_runtime.retriever import Retriever

HOT = "fusion_encoder.layers.0.feed_forward.intermediate.weight"


@pytest.mark.timeout(900)
def test_a_trained_model_passes_in_every_precision_and_the_differences_are_recorded(exported: Bundle) -> None:
    assert exported.manifest.passed == ("fp32", "fp16", "int8", "int8-cpu")
    document = json.loads((exported.path / "parity.json").read_text())
    for name, summary in exported.manifest.parity.items():
        assert summary["retrieval_measured"] is True
        assert float(summary["reranked_r1_change"]) >= -1  # one of 100 queries may always be lost
        assert summary["int8_tokens_passed"] is True
        emulated = str(summary["backend"]).endswith("(CPU), FP16 emulated")
        assert emulated == (name in ("fp16", "int8"))
        assert list(document["precisions"][name]["backends"]) == [summary["backend"]]
    assert document["cross_precision"]["fp32"]["int8"]["reranked"]["top10_overlap"] > 0.8


def test_what_was_done_to_the_graphs_is_in_the_report(exported: Bundle) -> None:
    precisions = json.loads((exported.path / "parity.json").read_text())["precisions"]
    half, static, dynamic = (precisions[name]["conversion"] for name in ("fp16", "int8", "int8-cpu"))

    assert precisions["fp32"]["conversion"] is None
    samples = half["calibration"]
    assert (samples["source"], samples["images"], len(samples["sha256"])) == ("train split of cuhk", 16, 64)
    assert static["calibration"] == {**samples, "method": "minmax"}
    assert dynamic["calibration"] is None
    for graph in exported.graphs("fp32"):
        assert half["graphs"][graph]["kept_fp32"] == []
        assert 0 < half["graphs"][graph]["largest"] < 65504 / 4
        assert dynamic["graphs"][graph]["quantized"]
    left_out = static["restored"]["exclude"]
    assert all(not set(left_out) & set(graph["quantized"]) for graph in static["graphs"].values())
    assert static["restored"]["trials"][0]["left_out"] == 0


def test_fp16_tokens_are_in_the_manifest_and_the_runtime_searches_with_them(
    exported: Bundle, trained_tiny: Path, tmp_path: Path
) -> None:
    types = {
        precision: {
            spec.dtype for spec in exported.graph(precision, "reranker").inputs if "tokens" in spec.name
        }
        for precision in exported.manifest.graphs
    }
    assert types == {"fp32": {"float32"}, "fp16": {"float16"}, "int8": {"float16"}, "int8-cpu": {"float32"}}

    photos = sorted((trained_tiny / "photos").rglob("*.*"))[:12]
    (tmp_path / "photos").mkdir()
    for number, photo in enumerate(photos):
        shutil.copy(photo, tmp_path / "photos" / f"{number}{photo.suffix}")
    scores = {}
    for precision in ("auto", "fp16", "int8", "int8-cpu"):
        with Retriever.open(exported.path, precision=precision, threads=1) as retriever:
            assert retriever.precision == ("fp32" if precision == "auto" else precision)
            gallery = retriever.index(tmp_path / "photos", tmp_path / precision, tokens="int8")
            hits = retriever.search(gallery, "a woman with a red bag", k=12, rerank=12)
        scores[precision] = {hit.path: hit.match_score for hit in hits}
    assert len(scores["auto"]) == 12
    for precision, found in scores.items():
        assert found == pytest.approx(scores["auto"], abs=0.02 if precision == "fp16" else 0.2)


def test_the_next_export_reuses_every_stage(
    exported: Bundle, all_precisions: ExportOptions, trained_tiny: Path, tmp_path: Path
) -> None:
    assert all_precisions.cache is not None
    before, titles = sorted(all_precisions.cache.iterdir()), []
    again = export_bundle(
        trained_tiny / "run" / "best", tmp_path / "again.cfack", all_precisions, on_stage=titles.append
    )

    assert sorted(all_precisions.cache.iterdir()) == before
    assert Bundle.open(again).manifest.graphs == exported.manifest.graphs
    assert titles == [
        "Exporting FP32 graphs",
        "Running PyTorch",
        "Converting to FP16",
        "Calibrating",
        "Converting to INT8",
        "Converting to INT8 for CPU",
        "Measuring parity",
        "Writing the bundle",
    ]


@pytest.fixture
def wrong_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    """An 8-bit text encoder whose last layer norm is scaled, whatever layers are left out."""

    def convert(source: Path, out: Path, graph: str, *arguments: Any, **named: Any) -> Any:
        report = to_int8(source, out, graph, *arguments, **named)
        if graph == "text_encoder":
            model = onnx.load(out)
            gain = next(node for node in model.graph.node if node.op_type == "LayerNormalization").input[1]
            (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == gain]
            values = numpy_helper.to_array(tensor)[::-1].copy()
            tensor.CopyFrom(numpy_helper.from_array(-values, gain))
            onnx.save(model, out)
        return report

    monkeypatch.setattr(int8_stage, "to_int8", convert)


@pytest.mark.usefixtures("exported", "wrong_int8")
def test_a_wrong_int8_graph_is_refused_and_with_keep_going_marked_so(
    all_precisions: ExportOptions, trained_tiny: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = replace(all_precisions, precisions=("fp16", "int8"), calibration=15)  # 16 are in the cache
    checkpoint, out = trained_tiny / "run" / "best", tmp_path / "tiny.cfack"

    with pytest.raises(
        ParityError,
        match=r"(?s)int8: ONNX Runtime .* FP16 emulated: text_encoder, case .* differs .*or write the others",
    ):
        export_bundle(checkpoint, out, options)
    assert not list(tmp_path.iterdir())

    with caplog.at_level(logging.WARNING):
        bundle = Bundle.open(export_bundle(checkpoint, out, replace(options, keep_going=True)))
    assert "int8 was refused and is marked so: ONNX Runtime" in caplog.text
    assert bundle.manifest.passed == ("fp32", "fp16")
    assert "refused: not run" in (out / "README.md").read_text()
    with pytest.raises(BundleError, match="precision int8 did not give PyTorch's results"):
        Retriever.open(out, precision="int8")


@pytest.mark.usefixtures("exported")
def test_int8_without_a_layer_in_8_bits_is_refused(
    all_precisions: ExportOptions, trained_tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges that are a hundredth of the real ones: nothing but leaving every layer out helps."""

    def convert(
        source: Path, out: Path, graph: str, histograms: Any, *, exclude: Collection[str], **named: Any
    ) -> Any:
        for histogram in histograms.values():
            histogram.largest = min(histogram.largest, 1e-3)
        return to_int8(source, out, graph, histograms, exclude=exclude, **named)

    monkeypatch.setattr(int8_stage, "to_int8", convert)
    monkeypatch.setattr("cfack_export.quantize._TRIALS", 2)
    options = replace(all_precisions, precisions=("int8",), calibration=14)
    with pytest.raises(ParityError, match="int8: no layer can be quantised within the limits"):
        export_bundle(trained_tiny / "run" / "best", tmp_path / "tiny.cfack", options)


@pytest.fixture(scope="module")
def hot(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with activations that FP16 cannot hold, and a cache of its stages beside it."""
    folder = tmp_path_factory.mktemp("hot")
    copy = Path(shutil.copytree(checkpoint, folder / "checkpoint"))
    weights = load_file(copy / "model.safetensors")
    weights[HOT] = weights[HOT] * np.float32(2e4)
    save_file(weights, copy / "model.safetensors")
    return folder


def test_what_fp16_cannot_hold_stays_in_fp32_and_is_named(hot: Path) -> None:
    options = ExportOptions(precisions=("fp16",), rewrites=False, cache=hot / "stages")
    bundle = Bundle.open(export_bundle(hot / "checkpoint", hot / "hot.cfack", options))

    assert bundle.manifest.passed == ("fp32", "fp16")
    document = json.loads((bundle.path / "parity.json").read_text())
    report = document["precisions"]["fp16"]["conversion"]
    assert report["calibration"]["source"] == "drawn pictures and captions"
    kept = {node["name"]: node for node in report["graphs"]["reranker"]["kept_fp32"]}
    layer = kept["fusion_encoder.layers.0.feed_forward.intermediate/MatMul"]
    assert layer["largest"] > 65504 / 4
    assert report["graphs"]["text_encoder"]["kept_fp32"] == []


def test_an_overflow_that_the_range_check_overlooks_is_refused_by_the_gate(
    hot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("fp32", "reference"):
        for folder in (hot / "stages").glob(f"{stage}-*"):
            shutil.copytree(folder, tmp_path / "stages" / folder.name)
    monkeypatch.setattr(fp16, "largest_values", lambda *_, **__: {})
    options = ExportOptions(precisions=("fp16",), rewrites=False, cache=tmp_path / "stages")
    with pytest.raises(ParityError, match=r"FP16 emulated: reranker, .*match_logits: holds what is no"):
        export_bundle(hot / "checkpoint", tmp_path / "hot.cfack", options)
    assert [path.name for path in tmp_path.iterdir()] == ["stages"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precisions": ("int8-cpu",)}, "^int8-cpu must be shown not to lose images: name .* --data"),
        ({"precisions": ("int8",)}, "^int8 is calibrated on real images and must be shown .* --data"),
        ({"precisions": ("fp8",)}, "'fp8' is unknown, expected fp32, fp16, int8, int8-cpu"),
        ({"method": "random"}, "method 'random', expected minmax or entropy"),
        ({"calibration": 0}, "calibration with 0 images, expected at least 1"),
    ],
)
def test_options_that_cannot_be_had_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ExportOptions(**options)


def test_int8_without_a_training_split_says_so_before_the_work(
    trained_tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("val.json", "test.json"):
        shutil.copy(trained_tiny / "data" / name, tmp_path / name)
    (tmp_path / "imgs").symlink_to(trained_tiny / "data" / "imgs")
    monkeypatch.setattr("cfack_export.export_run.LazyModel", lambda _: pytest.fail("the model was loaded"))
    options = ExportOptions(precisions=("int8",), data=tmp_path, cache=None)
    with pytest.raises(DataError, match="there is no train split, only val, test"):
        export_bundle(trained_tiny / "run" / "best", tmp_path / "x.cfack", options)
