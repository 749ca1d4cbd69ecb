from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from cfack_export.precision.int8_cpu import to_int8_cpu

Run = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]
Open = Callable[[Path], Run]

ATTENTION = "fusion_encoder.layers.0.cross_attention"


@pytest.fixture(scope="module")
def one_text(fp32: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("int8-cpu") / "reranker_one_text.onnx"
    report = to_int8_cpu(fp32 / out.name, out, out.stem)
    assert report.quantized[-2:] == (f"{ATTENTION}.key/MatMul", f"{ATTENTION}.value/MatMul")
    return out


def feed_of(texts: int, images: int, length: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    return {
        "text_tokens": rng.normal(size=(texts, length, 24)).astype(np.float32),
        "attention_mask": np.ones((texts, length), np.int64),
        "image_tokens": rng.normal(size=(images, 9, 32)).astype(np.float32),
    }


def test_products_with_images_are_in_8_bits_but_for_the_layer_that_reads_one_token(one_text: Path) -> None:
    names = [node.name for node in onnx.load(one_text).graph.node if node.op_type == "MatMulInteger"]

    for part in ("key", "value"):
        assert names.count(f"{ATTENTION}.{part}.int8/MatMulInteger") == 1
        assert f"fusion_encoder.layers.1.cross_attention.{part}.int8/MatMulInteger" not in names


@pytest.mark.parametrize("images", [1, 2, 5])
def test_one_text_in_8_bits_gives_what_the_reranker_gives(
    images: int, one_text: Path, fp32: Path, run_file: Open, rng: np.random.Generator
) -> None:
    plain, rewrite = run_file(fp32 / "reranker.onnx"), run_file(one_text)
    for length in (1, 3, 12):
        feed = feed_of(1, images, length, rng)
        expected = plain(feed)["match_logits"]
        got = rewrite(feed)["match_logits"]
        assert got.shape == (images, 2)
        assert np.abs(got - expected).max() < 0.05 * max(1, np.abs(expected).max())


def test_an_image_in_8_bits_does_not_depend_on_those_beside_it(
    one_text: Path, run_file: Open, rng: np.random.Generator
) -> None:
    run, feed = run_file(one_text), feed_of(1, 3, 6, rng)
    feed["image_tokens"][1] *= 40  # one scale for all three would leave the others a few steps

    together = run(feed)["match_logits"]
    alone = run({**feed, "image_tokens": feed["image_tokens"][2:]})["match_logits"]
    np.testing.assert_allclose(alone[0], together[2], atol=2e-6)


def test_an_image_of_zeros_gives_finite_logits(
    one_text: Path, run_file: Open, rng: np.random.Generator
) -> None:
    feed = feed_of(1, 2, 4, rng)
    feed["image_tokens"][0] = 0

    assert np.isfinite(run_file(one_text)(feed)["match_logits"]).all()


@pytest.mark.parametrize(("part", "other"), [("key", "value"), ("value", "key")])
def test_an_excluded_key_or_value_leaves_its_product_in_fp32(
    part: str, other: str, fp32: Path, tmp_path: Path
) -> None:
    excluded = f"{ATTENTION}.{part}/MatMul"
    report = to_int8_cpu(
        fp32 / "reranker_one_text.onnx", tmp_path / "x.onnx", "reranker_one_text", exclude=[excluded]
    )

    assert excluded not in report.quantized
    assert f"{ATTENTION}.{other}/MatMul" in report.quantized
    names = {node.name for node in onnx.load(tmp_path / "x.onnx").graph.node}
    assert f"{ATTENTION}.{part}.int8/MatMulInteger" not in names
    assert f"{ATTENTION}.{other}.int8/MatMulInteger" in names


@pytest.mark.parametrize(
    "graph", ["image_encoder", "text_encoder", "reranker_one_text", "reranker_one_image"]
)
def test_onnx_runtimes_optimisers_change_nothing(
    graph: str, fp32: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    """They join products and scales; a scale of rows taken for one of all rows would be a silent error."""
    to_int8_cpu(fp32 / f"{graph}.onnx", tmp_path / "int8.onnx", graph)
    answers = []
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(
            tmp_path / "int8.onnx", options, providers=["CPUExecutionProvider"]
        )
        if not answers:
            feed = {
                spec.name: random_input(spec.type, [5 if isinstance(n, str) else n for n in spec.shape], rng)
                for spec in session.get_inputs()
            }
        answers.append(session.run(None, feed))
    for plain, optimised in zip(*answers, strict=True):
        np.testing.assert_allclose(optimised, plain, atol=2e-5 * np.abs(plain).max())


def random_input(kind: str, shape: list[int], rng: np.random.Generator) -> NDArray[Any]:
    """Rows of very different sizes, pixels, or ones."""
    if kind == "tensor(float)":
        return (rng.normal(size=shape) * 10.0 ** rng.integers(-2, 3, (*shape[:-1], 1))).astype(np.float32)
    return rng.integers(0, 256, shape, np.uint8) if kind == "tensor(uint8)" else np.ones(shape, np.int64)


@pytest.mark.parametrize("graph", ["image_encoder", "text_encoder", "reranker_one_text"])
def test_onnx_runtime_makes_one_kernel_of_every_product_with_weights_and_its_scale(
    graph: str, fp32: Path, tmp_path: Path
) -> None:
    to_int8_cpu(fp32 / f"{graph}.onnx", tmp_path / "int8.onnx", graph)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(tmp_path / "int8.onnx", options, providers=["CPUExecutionProvider"])

    model = onnx.load(tmp_path / "int8.onnx")
    weights = {tensor.name for tensor in model.graph.initializer}
    products = [node.input[1] in weights for node in model.graph.node if node.op_type == "MatMulInteger"]
    run = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert run["MatMulIntegerToFloat"] == products.count(True) > 0
    assert run["MatMulInteger"] == products.count(False) == (2 if graph == "reranker_one_text" else 0)


def test_the_image_encoder_takes_pixels_as_they_are(fp32: Path, tmp_path: Path) -> None:
    to_int8_cpu(fp32 / "image_encoder.onnx", tmp_path / "int8.onnx", "image_encoder")
    before, after = (
        Counter(node.op_type for node in onnx.load(path).graph.node)
        for path in (fp32 / "image_encoder.onnx", tmp_path / "int8.onnx")
    )

    assert before["Sub"] - after["Sub"] == 1  # the mean of the pixels
    assert before["Div"] - after["Div"] == 2


def test_an_excluded_product_stays_as_it_is(fp32: Path, tmp_path: Path) -> None:
    layer = "vision_encoder.beit.blocks.0.attn.query/MatMul"
    report = to_int8_cpu(
        fp32 / "image_encoder.onnx", tmp_path / "int8.onnx", "image_encoder", exclude=[layer]
    )

    assert [skip.name for skip in report.skipped if skip.reason == "excluded"] == [layer]
    names = {node.name for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    assert layer in names
    assert "vision_encoder.beit.blocks.1.attn.query/MatMul" not in names
