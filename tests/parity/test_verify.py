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
