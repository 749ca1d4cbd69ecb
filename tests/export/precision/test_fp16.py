from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from cfack_export.precision.emulation import emulate_fp16
from cfack_export.precision.fp16 import to_fp16
from cfack_runtime.errors import ParityError

Run = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]
GRAPHS = ("image_encoder", "text_encoder", "reranker", "reranker_one_text", "reranker_one_image")


def halved(feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The same call with float16 tokens."""
    return {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in feed.items()}


def scaled(source: Path, out: Path, weight: str, factor: float) -> Path:
    proto = onnx.load(source)
    (tensor,) = [t for t in proto.graph.initializer if t.name == weight]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), weight))
    onnx.save(proto, out)
    return out


@pytest.mark.parametrize("graph", GRAPHS)
def test_an_fp16_graph_is_near_fp32_with_real_fp16_rounding(
    graph: str, fp32: Path, feeds: dict[str, Any], run_file: Callable[[Path], Run], tmp_path: Path
) -> None:
    source, half = fp32 / f"{graph}.onnx", tmp_path / "half.onnx"

    report = to_fp16(source, half, graph, [feeds[graph]])
    rounded = emulate_fp16(half, tmp_path / "emulated.onnx")

    expected = run_file(source)(feeds[graph])
    got = run_file(tmp_path / "emulated.onnx")(halved(feeds[graph]))
    assert report.nodes > 10
    assert report.kept_fp32 == ()
    assert rounded >= report.nodes
    for name, values in expected.items():
        assert got[name].dtype == (np.float16 if name.endswith("tokens") else np.float32)
        error = np.abs(got[name].astype(np.float32) - values).max() / np.abs(values).max()
        assert 1e-6 < error < 1e-2


@pytest.mark.parametrize("graph", ["image_encoder", "reranker", "reranker_one_text", "reranker_one_image"])
def test_emulated_rounding_agrees_with_onnx_reference_arithmetic(
    graph: str, fp32: Path, feeds: dict[str, Any], run_file: Callable[[Path], Run], tmp_path: Path
) -> None:
    half, feed = tmp_path / "half.onnx", halved(feeds[graph])
    to_fp16(fp32 / f"{graph}.onnx", half, graph, [feeds[graph]])
    emulate_fp16(half, tmp_path / "emulated.onnx")

    evaluator = ReferenceEvaluator(onnx.load(half))
    expected = dict(zip(evaluator.output_names, evaluator.run(None, feed), strict=True))

    for name, values in run_file(tmp_path / "emulated.onnx")(feed).items():
        wanted = expected[name].astype(np.float32)
        np.testing.assert_allclose(values.astype(np.float32), wanted, atol=1e-2 * np.abs(wanted).max())


def test_norms_softmax_and_what_follows_the_last_norm_are_fp32(
    fp32: Path, feeds: dict[str, Any], tmp_path: Path
) -> None:
    to_fp16(fp32 / "image_encoder.onnx", tmp_path / "half.onnx", "image_encoder", [feeds["image_encoder"]])

    proto = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "half.onnx"))
    types = {v.name: v.type.tensor_type.elem_type for v in (*proto.graph.value_info, *proto.graph.output)}
    for node in proto.graph.node:
        if node.op_type in ("LayerNormalization", "Softmax", "ReduceMean", "ReduceL2", "Gemm"):
            assert types[node.output[0]] == onnx.TensorProto.FLOAT, node.name
        if node.op_type in ("MatMul", "Conv"):
            assert types[node.output[0]] == onnx.TensorProto.FLOAT16, node.name


def test_an_overflow_is_seen_by_the_emulation_and_hidden_by_the_plain_graph(
    fp32: Path, feeds: dict[str, Any], run_file: Callable[[Path], Run], tmp_path: Path
) -> None:
    weight = "fusion_encoder.layers.0.feed_forward.intermediate.weight.transposed"
    harmless = fp32 / "reranker.onnx"
    hot = scaled(harmless, tmp_path / "hot.onnx", weight, 2e4)
    quiet = {**feeds["reranker"], "image_tokens": feeds["reranker"]["image_tokens"] * 0}
    half, emulated = tmp_path / "half.onnx", tmp_path / "emulated.onnx"
    to_fp16(harmless, half, "reranker", [quiet])
    scaled_half = onnx.load(half)
    for tensor in scaled_half.graph.initializer:
        if tensor.name == f"{weight}.fp16":
            values = numpy_helper.to_array(tensor).astype(np.float32) * 2e4
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
    onnx.save(scaled_half, half)
    emulate_fp16(half, emulated)

    feed = halved(feeds["reranker"])
    assert not np.isfinite(run_file(emulated)(feed)["match_logits"]).all()
    assert np.isfinite(run_file(half)(feed)["match_logits"]).all()
    assert np.isfinite(run_file(hot)(feeds["reranker"])["match_logits"]).all()


def test_a_node_near_the_end_of_fp16_is_kept_and_named(
    fp32: Path, feeds: dict[str, Any], run_file: Callable[[Path], Run], tmp_path: Path
) -> None:
    weight = "fusion_encoder.layers.0.feed_forward.intermediate.weight.transposed"
    hot = scaled(fp32 / "reranker.onnx", tmp_path / "hot.onnx", weight, 2e4)

    report = to_fp16(hot, tmp_path / "half.onnx", "reranker", [feeds["reranker"]])
    emulate_fp16(tmp_path / "half.onnx", tmp_path / "emulated.onnx")

    kept = {node.name: node for node in report.kept_fp32}
    layer = kept["fusion_encoder.layers.0.feed_forward.intermediate/MatMul"]
    assert layer.largest > 16376
    assert "FP16 ends at 65504" in layer.reason
    assert not [name for name in kept if ".layers.1." in name]
    expected = run_file(hot)(feeds["reranker"])["match_logits"]
    got = run_file(tmp_path / "emulated.onnx")(halved(feeds["reranker"]))["match_logits"]
    np.testing.assert_allclose(got, expected, atol=2e-2 * np.abs(expected).max())


def test_weights_too_small_for_fp16_stay_fp32(fp32: Path, feeds: dict[str, Any], tmp_path: Path) -> None:
    weight = "fusion_encoder.layers.1.cross_attention.query.weight.transposed"
    faint = scaled(fp32 / "reranker.onnx", tmp_path / "faint.onnx", weight, 1e-6)

    report = to_fp16(faint, tmp_path / "half.onnx", "reranker", [feeds["reranker"]])

    assert [node.name for node in report.kept_fp32] == [
        "fusion_encoder.layers.1.cross_attention.query/MatMul"
    ]
    assert "too small for FP16" in report.kept_fp32[0].reason


def test_captions_of_padding_only_stay_finite(
    fp32: Path, feeds: dict[str, Any], run_file: Callable[[Path], Run], tmp_path: Path
) -> None:
    source = fp32 / "text_encoder.onnx"
    to_fp16(source, tmp_path / "half.onnx", "text_encoder", [feeds["text_encoder"]])
    emulate_fp16(tmp_path / "half.onnx", tmp_path / "emulated.onnx")
    feed = dict(feeds["text_encoder"])
    feed["attention_mask"] = feed["attention_mask"] * 0

    assert np.isfinite(run_file(tmp_path / "emulated.onnx")(feed)["text_embedding"]).all()


def test_tokens_that_a_gallery_cannot_hold_are_refused(
    fp32: Path, feeds: dict[str, Any], tmp_path: Path
) -> None:
    feed = {**feeds["reranker"], "image_tokens": feeds["reranker"]["image_tokens"] * np.float32(1e5)}

    with pytest.raises(ParityError, match="reranker: image_tokens reach .* float16, in which galleries"):
        to_fp16(fp32 / "reranker.onnx", tmp_path / "half.onnx", "reranker", [feed])
    assert not (tmp_path / "half.onnx").exists()
