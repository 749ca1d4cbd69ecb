from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

Run = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]


@pytest.mark.parametrize("graph", ["reranker_one_text", "reranker_one_image"])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_rewrite_gives_what_the_reranker_gives(
    graph: str, batch: int, fp32: Path, run_file: Callable[[Path], Run], rng: np.random.Generator
) -> None:
    plain, rewrite = run_file(fp32 / "reranker.onnx"), run_file(fp32 / f"{graph}.onnx")
    texts, images = (1, batch) if graph == "reranker_one_text" else (batch, 1)
    for length in (1, 3, 12):
        counts = rng.integers(1, length + 1, (texts, 1))
        feed: dict[str, NDArray[Any]] = {
            "text_tokens": rng.normal(size=(texts, length, 24)).astype(np.float32),
            "attention_mask": (np.arange(length) < counts).astype(np.int64),
            "image_tokens": rng.normal(size=(images, 9, 32)).astype(np.float32),
        }
        logits = rewrite(feed)["match_logits"]
        assert logits.shape == (batch, 2)
        np.testing.assert_allclose(logits, plain(feed)["match_logits"], atol=3e-6)


def test_a_rewrite_repeats_no_input_and_projects_no_image_needlessly(fp32: Path) -> None:
    one_text = onnx.load(fp32 / "reranker_one_text.onnx").graph
    one_image = onnx.load(fp32 / "reranker_one_image.onnx").graph

    for graph in (one_text, one_image):
        assert Counter(node.op_type for node in graph.node)["Expand"] == 0
    assert not [node.name for node in one_text.node if "cross_attention.key/" in node.name]
    assert not [node.name for node in one_text.node if "cross_attention.value/" in node.name]
    assert [node.name for node in one_image.node if node.name.endswith("cross_attention.key/MatMul")] == [
        f"fusion_encoder.layers.{layer}.cross_attention.key/MatMul" for layer in (0, 1)
    ]
