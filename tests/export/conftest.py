"""A very small model, exported once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from cfack.config import ModelConfig, TextConfig, VisionConfig
from cfack.modeling import CFACK, build_model
from cfack.modeling.checkpoint import save_checkpoint
from cfack_export.export import export_bundle
from cfack_export.graphs import GraphSpec, graph_specs
from cfack_export.options import ExportOptions
from cfack_export.parity import SampleSize
from cfack_runtime.bundle import Bundle
from cfack_runtime.graph_contract import GRAPHS
from cfack_runtime.tokenizer import SPECIAL_TOKENS, CaptionTokenizer

Run = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]

WORDS = (
    "a",
    "the",
    "man",
    "woman",
    "girl",
    "in",
    "with",
    "red",
    "blue",
    "white",
    "coat",
    "bag",
    "hair",
    "dark",
)

# Height and width differ, and so do image and text width: no axis is taken for another.
CONFIG = ModelConfig(
    vision=VisionConfig(image_height=32, image_width=16, patch_size=8, width=32, depth=2, num_heads=2),
    text=TextConfig(
        vocab_size=64,
        width=24,
        num_heads=3,
        intermediate_size=48,
        num_text_layers=2,
        num_fusion_layers=2,
        max_positions=32,
        max_tokens=12,
    ),
    cnn=None,
    embed_dim=16,
    momentum=True,
    mlm=True,
)


@pytest.fixture(scope="session")
def tokenizer() -> CaptionTokenizer:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = [*SPECIAL_TOKENS, *WORDS, *(letter for letter in letters if letter not in WORDS)]
    return CaptionTokenizer.from_tokens(tokens, CONFIG.text.max_tokens)


@pytest.fixture(scope="session")
def model() -> CFACK:
    """Weights far enough from their initial values that biases, gains and masks all matter."""
    torch.manual_seed(0)
    model = build_model(CONFIG).eval()
    for name, parameter in model.named_parameters():
        if name != "temperature":
            gain = "norm" in name.lower() and name.endswith("weight")
            torch.nn.init.normal_(parameter, mean=float(gain), std=0.2)
    return model


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, model: CFACK, tokenizer: CaptionTokenizer) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    save_checkpoint(path, model, CONFIG, tokenizer)
    return path


@pytest.fixture(scope="session")
def specs(model: CFACK) -> dict[str, GraphSpec]:
    return {spec.name: spec for spec in graph_specs(model)}


@pytest.fixture(scope="session")
def progress_calls() -> list[tuple[int, int]]:
    """What the export of `bundle` reported."""
    return []


@pytest.fixture(scope="session")
def bundle(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, progress_calls: list[tuple[int, int]]
) -> Bundle:
    out = tmp_path_factory.mktemp("bundles") / "missing" / "tiny.cfack"
    path = export_bundle(checkpoint, out, progress=lambda done, total: progress_calls.append((done, total)))
    assert path == out
    return Bundle.open(path)


@pytest.fixture(scope="session")
def all_precisions(trained_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportOptions:
    """What the trained model is exported with: every precision, and a part of its validation split."""
    return ExportOptions(
        precisions=("fp16", "int8", "int8-cpu"),
        data=trained_tiny / "data",
        sample=SampleSize(images=60, queries=100, rerank=16),
        calibration=16,
        cache=tmp_path_factory.mktemp("stages"),
    )


@pytest.fixture(scope="session")
def exported(
    trained_tiny: Path, all_precisions: ExportOptions, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """The trained model in every precision."""
    out = tmp_path_factory.mktemp("exported") / "all.cfack"
    return Bundle.open(export_bundle(trained_tiny / "run" / "best", out, all_precisions))


@pytest.fixture(scope="session")
def graph_files(bundle: Bundle) -> dict[str, Path]:
    return {name: bundle.graph_path("fp32", name) for name in GRAPHS}


@pytest.fixture(scope="session")
def graphs(graph_files: dict[str, Path]) -> dict[str, onnx.ModelProto]:
    return {name: onnx.load(file) for name, file in graph_files.items()}


@pytest.fixture(scope="session")
def run_file() -> Callable[[Path], Run]:
    """Open an ONNX file in ONNX Runtime."""

    def open_file(path: Path) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]

        def run(feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            return dict(zip(names, session.run(names, dict(feed)), strict=True))

        return run

    return open_file


@pytest.fixture(scope="session")
def runs(graph_files: dict[str, Path], run_file: Callable[[Path], Run]) -> dict[str, Run]:
    return {name: run_file(file) for name, file in graph_files.items()}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
