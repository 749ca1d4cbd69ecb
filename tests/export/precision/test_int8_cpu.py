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


def test_one_text_gets_keys_and_values_back_but_for_the_layer_that_reads_one_token(one_text: Path) -> None:
    names = [node.name for node in onnx.load(one_text).graph.node if node.op_type == "MatMulInteger"]

    assert sum(name.startswith(f"{ATTENTION}.int8/") for name in names) == 2
    assert not [name for name in names if name.startswith("fusion_encoder.layers.1.cross_attention.int8/")]


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


@pytest.mark.parametrize("part", ["key", "value"])
def test_attention_with_an_excluded_layer_stays_folded(part: str, fp32: Path, tmp_path: Path) -> None:
    excluded = f"{ATTENTION}.{part}/MatMul"
    report = to_int8_cpu(
        fp32 / "reranker_one_text.onnx", tmp_path / "x.onnx", "reranker_one_text", exclude=[excluded]
    )

    assert not {f"{ATTENTION}.key/MatMul", f"{ATTENTION}.value/MatMul"} & set(report.quantized)
    names = {node.name for node in onnx.load(tmp_path / "x.onnx").graph.node}
    assert f"{ATTENTION}/MatMul" in names  # query times key weights, in FP32


@pytest.mark.parametrize("graph", ["image_encoder", "text_encoder", "reranker_one_text"])
def test_onnx_runtime_makes_one_kernel_of_every_product_and_its_scale(
    graph: str, fp32: Path, tmp_path: Path
) -> None:
    to_int8_cpu(fp32 / f"{graph}.onnx", tmp_path / "int8.onnx", graph)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(tmp_path / "int8.onnx", options, providers=["CPUExecutionProvider"])

    written = Counter(node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node)
    run = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert run["MatMulIntegerToFloat"] == written["MatMulInteger"] > 0
    assert run["MatMulInteger"] == 0


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
