from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from cfack_export.precision.emulation import emulate_fp16
from cfack_export.precision.fp16 import to_fp16
from cfack_export.precision.histograms import BINS, Histogram, threshold
from cfack_export.precision.int8 import calibrate, to_int8
from cfack_export.precision.int8_cpu import to_int8_cpu
from cfack_export.precision.layers import quantizable_layers
from cfack_export.precision.restore import restore_layers
from cfack_export.precision.weights import quantize_columns
from cfack_runtime.errors import UsageError

Run = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]
GRAPHS = ("image_encoder", "text_encoder", "reranker", "reranker_one_text", "reranker_one_image")


def relative_error(got: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]]) -> float:
    return max(
        float(np.abs(got[name].astype(np.float32) - values).max() / np.abs(values).max())
        for name, values in expected.items()
    )


@pytest.mark.parametrize("graph", GRAPHS)
def test_8_bits_on_a_cpu_are_near_fp32(
    graph: str, fp32: Path, feeds: dict[str, Any], run_file: Callable[[Path], Run], tmp_path: Path
) -> None:
    source = fp32 / f"{graph}.onnx"
    report = to_int8_cpu(source, tmp_path / "int8.onnx", graph)

    error = relative_error(run_file(tmp_path / "int8.onnx")(feeds[graph]), run_file(source)(feeds[graph]))
    assert 1e-5 < error < 0.12
    assert set(report.quantized) >= set(quantizable_layers(source))
    assert len(report.quantized) >= 8


@pytest.mark.parametrize("graph", ["image_encoder", "text_encoder"])
def test_a_row_in_8_bits_does_not_depend_on_its_batch(
    graph: str, fp32: Path, feeds: dict[str, Any], run_file: Callable[[Path], Run], tmp_path: Path
) -> None:
    to_int8_cpu(fp32 / f"{graph}.onnx", tmp_path / "int8.onnx", graph)
    run = run_file(tmp_path / "int8.onnx")

    together = run(feeds[graph])
    alone = run({name: values[1:2] for name, values in feeds[graph].items()})
    for name, values in together.items():
        np.testing.assert_allclose(alone[name], values[1:2], atol=2e-6)


def test_garbage_behind_a_caption_does_not_reach_its_8_bit_result(
    fp32: Path, feeds: dict[str, Any], run_file: Callable[[Path], Run], tmp_path: Path
) -> None:
    to_int8_cpu(fp32 / "reranker.onnx", tmp_path / "int8.onnx", "reranker")
    run, clean = run_file(tmp_path / "int8.onnx"), feeds["reranker"]
    padding = clean["attention_mask"][:, :, None] == 0
    assert padding.any()
    dirty = {**clean, "text_tokens": np.where(padding, np.float32(300), clean["text_tokens"])}

    np.testing.assert_allclose(run(dirty)["match_logits"], run(clean)["match_logits"], atol=1e-5)


def test_excluded_layers_keep_their_weights(fp32: Path, tmp_path: Path) -> None:
    layer = "fusion_encoder.layers.1.cross_attention.key/MatMul"
    report = to_int8_cpu(
        fp32 / "reranker.onnx", tmp_path / "int8.onnx", "reranker", exclude=[layer, "of another graph"]
    )

    assert layer not in report.quantized
    assert [(skip.name, skip.reason) for skip in report.skipped] == [(layer, "excluded")]
    assert layer in {node.name for node in onnx.load(tmp_path / "int8.onnx").graph.node}


@pytest.mark.parametrize("method", ["entropy", "minmax"])
@pytest.mark.parametrize("graph", GRAPHS)
def test_static_8_bits_on_fp16_are_near_fp32(
    graph: str,
    method: str,
    fp32: Path,
    feeds: dict[str, Any],
    run_file: Callable[[Path], Run],
    tmp_path: Path,
) -> None:
    source, feed = fp32 / f"{graph}.onnx", feeds[graph]
    histograms = calibrate(source, [feed])
    to_fp16(source, tmp_path / "half.onnx", graph, [feed])
    report = to_int8(tmp_path / "half.onnx", tmp_path / "int8.onnx", graph, histograms, method=method)
    emulate_fp16(tmp_path / "int8.onnx", tmp_path / "emulated.onnx")

    half = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in feed.items()}
    error = relative_error(run_file(tmp_path / "emulated.onnx")(half), run_file(source)(feed))
    assert 1e-4 < error < (0.15 if method == "minmax" else 0.6)
    assert report.method == method
    assert report.quantized == quantizable_layers(source)


def test_static_weights_are_int8_by_channel_and_biases_are_no_integers(
    fp32: Path, feeds: dict[str, Any], tmp_path: Path
) -> None:
    source = fp32 / "text_encoder.onnx"
    to_int8(source, tmp_path / "int8.onnx", "text_encoder", calibrate(source, [feeds["text_encoder"]]))

    graph = onnx.load(tmp_path / "int8.onnx").graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    weights = [n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in tensors]
    assert len(weights) == len(quantizable_layers(source))
    for node in weights:
        columns = tensors[node.input[0]].dims[1]
        assert tensors[node.input[0]].data_type == onnx.TensorProto.INT8
        assert list(tensors[node.input[1]].dims) == [columns]
    assert not [t.name for t in graph.initializer if t.data_type == onnx.TensorProto.INT32]
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    assert len(quantizers) == 2 * 4  # of 6 layers in each of 2 blocks, three read the same activation


def test_an_unknown_method_and_a_layer_without_histogram_are_errors(fp32: Path, tmp_path: Path) -> None:
    source = fp32 / "text_encoder.onnx"
    with pytest.raises(UsageError, match="method 'random', expected minmax or entropy"):
        to_int8(source, tmp_path / "x.onnx", "text_encoder", {}, method="random")
    with pytest.raises(UsageError, match=r"text_encoder: text_encoder\.layers\.0\..* was not calibrated"):
        to_int8(source, tmp_path / "x.onnx", "text_encoder", {})


def test_a_histogram_grows_and_loses_no_value(rng: np.random.Generator) -> None:
    histogram = Histogram()
    values = [rng.normal(size=1000) * scale for scale in (1, 0.1, 30)]
    for part in values:
        histogram.add(part)

    everything = np.abs(np.concatenate(values).astype(np.float32))
    assert histogram.counts.sum() == 3000
    assert histogram.largest == everything.max()
    assert histogram.width * BINS >= everything.max()
    below = int(histogram.counts[:64].sum())
    assert abs(below - int((everything < 64 * histogram.width).sum())) <= 1


def test_entropy_cuts_a_lone_outlier_off_and_minmax_does_not(rng: np.random.Generator) -> None:
    histogram = Histogram()
    histogram.add(np.append(rng.normal(size=100_000), 100.0))

    assert threshold(histogram, "minmax") == 100
    assert 3 < threshold(histogram, "entropy") < 20


def test_columns_of_a_weight_have_their_own_step(rng: np.random.Generator) -> None:
    weight = (rng.normal(size=(64, 3)) * [1, 1e-3, 0]).astype(np.float32)
    values, scales = quantize_columns(weight, np.float16)

    assert scales.dtype == np.float16
    np.testing.assert_allclose(values * scales.astype(np.float32), weight, atol=0.02, rtol=0)
    assert np.abs(values).max(axis=0).tolist()[:2] == [127, 127]
    assert not values[:, 2].any()


def test_the_most_harmful_layers_return_until_the_budget_is_kept() -> None:
    harm = tuple(f"layer {i}" for i in range(40))

    def measure(exclude: tuple[str, ...]) -> tuple[float, bool]:
        drop = 5.0 - len(exclude)
        return drop, drop <= 0.5

    restored = restore_layers(harm[::-1], lambda: harm, measure)

    assert restored.passed
    assert restored.exclude == harm[:5]
    assert restored.drop == 0.0
    assert len(restored.trials) <= 8
    assert [trial.drop for trial in restored.trials] == [5.0 - trial.left_out for trial in restored.trials]


@pytest.mark.parametrize(("needed", "count"), [(1, 8), (29, 40), (40, 40), (200, 200)])
def test_leaving_everything_out_is_measured_last_and_only_if_nothing_less_passes(
    needed: int, count: int
) -> None:
    layers = tuple(f"layer {i:03}" for i in range(count))
    seen: list[int] = []

    def measure(exclude: tuple[str, ...]) -> tuple[float, bool]:
        seen.append(len(exclude))
        return 0.0, len(exclude) >= needed

    restored = restore_layers(layers, lambda: layers, measure)

    assert restored.passed
    assert len(restored.exclude) == needed
    assert [trial.left_out for trial in restored.trials] == seen
    assert len(seen) == len(set(seen)) <= 8
    assert (count in seen) is (needed == count)


def test_nothing_returns_when_nothing_is_lost_and_all_of_it_when_that_does_not_help() -> None:
    def never() -> tuple[str, ...]:
        raise AssertionError("harm is measured only where layers must return")

    layers = ("a", "b")
    assert restore_layers(layers, never, lambda _: (0.1, True)).exclude == ()
    lost = restore_layers(layers, lambda: layers, lambda _: (float("nan"), False))
    assert (lost.exclude, lost.passed) == (("a", "b"), False)
    assert [trial.left_out for trial in lost.trials] == [0, 1, 2]
    with pytest.raises(UsageError, match="at least 2"):
        restore_layers(layers, never, lambda _: (0.0, True), trials=1)
    with pytest.raises(UsageError, match="does not hold every layer once"):
        restore_layers(layers, lambda: ("a", "a"), lambda exclude: (1.0, bool(exclude)))
