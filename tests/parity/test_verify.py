"""`cfack verify`, also where torch is not installed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from cfack_export.parity.verify import bundle_reference, read_sample, verify_bundle
from cfack_export.precision.fp16 import to_fp16
from cfack_runtime.bundle import Bundle
from cfack_runtime.graph_contract import all_signatures
from cfack_runtime.manifest import Geometry

_WITHOUT_TORCH = """
import sys
for name in ("torch", "torchvision", "timm", "transformers", "onnx", "onnxscript", "scipy"):
    sys.modules[name] = None
from cfack.cli import main
sys.argv = ["cfack", *sys.argv[1:]]
main()
"""


def verify(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in an interpreter without torch and onnx."""
    command = [sys.executable, "-c", _WITHOUT_TORCH, "verify", *map(str, arguments), "--threads", "1"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def broken(write_toy: Callable[..., Path], toy_graphs: Path, tmp_path: Path) -> Path:
    """A bundle whose int8 image encoder reads blue for green."""
    for file in toy_graphs.glob("*.onnx"):
        model = onnx.load(file)
        for tensor in model.graph.initializer:
            if tensor.name == "widen":
                swapped = np.ascontiguousarray(numpy_helper.to_array(tensor)[:, [1, 0, 2, 3]])
                tensor.CopyFrom(numpy_helper.from_array(swapped, "widen"))
        (tmp_path / "int8").mkdir(exist_ok=True)
        onnx.save(model, tmp_path / "int8" / file.name)
    return write_toy(tmp_path / "two.cfack", graphs={"fp32": toy_graphs, "int8": tmp_path / "int8"})


def test_a_healthy_bundle_passes_without_torch(toy_bundle: Path, data: Path) -> None:
    done = verify(toy_bundle, "--data", data)

    assert done.returncode == 0, done.stderr
    assert "compared with the bundle's fp32 graphs in ONNX Runtime" in done.stdout
    assert "toy, test split: 6 images, 6 captions, 6 of them re-ranked in 6 candidates" in done.stdout
    assert "Re-ranking from 8-bit gallery tokens: fp32 passed (+0.00)" in done.stdout


def test_without_data_the_outputs_alone_are_compared(toy_bundle: Path) -> None:
    done = verify(toy_bundle, "--json")

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["format"] == "cfack-parity"
    assert document["split"] is None
    (backend,) = document["precisions"]["fp32"]["backends"].values()
    assert backend["passed"] is True
    assert backend["retrieval"] == {}


def test_a_broken_precision_exits_with_3_and_says_graph_case_figure_and_limit(
    broken: Path, data: Path
) -> None:
    done = verify(broken, "--data", data, "--json")

    assert done.returncode == 3
    assert "  int8 in ONNX Runtime" in done.stderr
    assert "image_encoder, case 'batch 1', image_tokens: differs from the bundle's fp32 graphs" in done.stderr
    assert "allowed is 0.3" in done.stderr
    document = json.loads(done.stdout)
    assert document["precisions"]["fp32"]["passed"] is True
    assert document["precisions"]["int8"]["passed"] is False
    assert set(document["cross_precision"]) == {"fp32", "int8"}
    assert verify(broken, "--precision", "fp32").returncode == 0


def test_what_cannot_be_done_is_said(toy_bundle: Path, data: Path) -> None:
    for arguments, code, message in (
        (["--rerank", "4"], 2, "are about a data set; give --data"),
        (["--precision", "fp16"], 1, "holds no precision 'fp16', only fp32"),
        (["--backend", "tensorrt-rtx"], 1, "holds no tensorrt-rtx engines"),
        (["--data", data, "--split", "val"], 1, "there is no val split, only test"),
        (["--checkpoint", "nowhere"], 1, "run `pip install 'cfack[train]'`"),
    ):
        done = verify(toy_bundle, *arguments)
        assert (done.returncode, message in done.stderr) == (code, True), done.stderr


@pytest.fixture
def half(
    write_toy: Callable[..., Path], toy_graphs: Path, toy_geometry: Geometry, bundle: Bundle, tmp_path: Path
) -> Bundle:
    """A bundle with FP16 graphs."""
    texts = bundle.tokenizer.encode(["a person in red coat"])
    ids, mask = texts.input_ids, texts.attention_mask
    tokens = np.ones((1, ids.shape[1], 4), np.float32)
    feeds = {
        "image_encoder": {"pixels": np.full((1, 12, 8, 3), 255, np.uint8)},
        "text_encoder": {"input_ids": ids, "attention_mask": mask},
        "reranker": {"text_tokens": tokens, "attention_mask": mask, "image_tokens": tokens[:, :4]},
    }
    for name, feed in feeds.items():
        typed = tmp_path / f"{name}.onnx"  # as exported graphs are
        onnx.save(onnx.shape_inference.infer_shapes(onnx.load(toy_graphs / f"{name}.onnx")), typed)
        to_fp16(typed, tmp_path / "fp16" / f"{name}.onnx", name, [feed])
    path = write_toy(
        tmp_path / "half.cfack",
        graphs={"fp32": toy_graphs, "fp16": tmp_path / "fp16"},
        signatures={"fp16": all_signatures(toy_geometry, "float16")},
    )
    return Bundle.open(path)


def test_fp16_is_emulated_on_a_cpu_and_the_report_says_so(half: Bundle, data: Path) -> None:
    sample = read_sample(half, data)
    verification = verify_bundle(half, bundle_reference(half, sample, threads=1), threads=1)

    assert [(report.precision, report.passed) for report in verification.reports] == [
        ("fp32", True),
        ("fp16", True),
    ]
    backends = [report.backend.partition("(CPU)")[2] for report in verification.reports]
    assert backends == ["", ", FP16 emulated"]
    fp16 = verification.reports[1]
    assert fp16.graphs[0].error > 0  # rounding that ONNX Runtime itself leaves out on a CPU
    assert fp16.summary()["int8_tokens_passed"] is True


def test_fp16_is_not_taken_for_measured_where_it_cannot_be_emulated(half: Bundle) -> None:
    done = verify(half.path)

    assert done.returncode == 1
    assert "precision fp16 computes in FP16, which a CPU has not and which cannot be emulated" in done.stderr
    assert "pip install 'cfack[export]'" in done.stderr
    assert verify(half.path, "--precision", "fp32").returncode == 0
