"""The very small model's five graphs, and real calls of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cfack.modeling import CFACK
from cfack_export.graphs import graph_specs, rewrite_specs
from cfack_export.onnx_export import export_graph, ready_for_export
from cfack_runtime.tokenizer import CaptionTokenizer

Run = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]
Feeds = dict[str, Mapping[str, NDArray[Any]]]


@pytest.fixture(scope="session")
def fp32(tmp_path_factory: pytest.TempPathFactory, model: CFACK) -> Path:
    folder = tmp_path_factory.mktemp("fp32")
    with ready_for_export(model):
        for spec in (*graph_specs(model), *rewrite_specs(model)):
            export_graph(spec, folder / f"{spec.name}.onnx")
    return folder


@pytest.fixture(scope="session")
def feeds(fp32: Path, run_file: Callable[[Path], Run], tokenizer: CaptionTokenizer) -> Feeds:
    """One ragged call of each graph."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (3, 32, 16, 3), dtype=np.uint8)
    encoded = tokenizer.encode(["a man in a red coat", "woman", "the girl with dark hair"])
    text = {"input_ids": encoded.input_ids, "attention_mask": encoded.attention_mask}
    pairs = {
        "text_tokens": run_file(fp32 / "text_encoder.onnx")(text)["text_tokens"],
        "attention_mask": encoded.attention_mask,
        "image_tokens": run_file(fp32 / "image_encoder.onnx")({"pixels": pixels})["image_tokens"],
    }
    first = {name: pairs[name][:1] for name in ("text_tokens", "attention_mask")}
    return {
        "image_encoder": {"pixels": pixels},
        "text_encoder": text,
        "reranker": pairs,
        "reranker_one_text": {**pairs, **first},
        "reranker_one_image": {**pairs, "image_tokens": pairs["image_tokens"][:1]},
    }
