"""`cfack inspect` and what fits on its screen."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from cfack.cli import cli
from cfack_runtime.errors import BundleError

PRECISIONS = ("fp32", "fp16", "int8", "int8-cpu")


@pytest.fixture
def full(write_toy: Callable[..., Path], toy_graphs: Path, tmp_path: Path) -> Path:
    """Four precisions, one of which failed, with everything that the parity gate measures."""
    report = {
        "passed": True,
        "image_encoder_error": 2e-4,
        "reranker_error": 3e-3,
        "dual_r1": 61.25,
        "dual_r1_change": -0.125,
        "reranked_r1": 70.5,
        "reranked_r1_change": 0.25,
    }
    parity = {name: {**report, "passed": name != "int8"} for name in PRECISIONS}
    return write_toy(tmp_path / "toy.cfack", graphs=dict.fromkeys(PRECISIONS, toy_graphs), parity=parity)


def test_a_bundle_fits_on_one_screen(full: Path) -> None:
    result = CliRunner().invoke(cli, ["inspect", str(full)])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40
    assert lines[0].startswith("toy.cfack: ")
    rows = {line[:24].strip(): line[24:].split() for line in lines}
    assert rows["graphs"] == list(PRECISIONS)
    assert len(rows["image_encoder"]) == 8  # a number and a unit each
    assert rows["passed"] == ["yes", "yes", "NO", "yes"]
    assert rows["largest error"] == ["3.0e-03"] * 4
    assert rows["R@1 %"] == ["61.25"] * 4
    changes = [line.split() for line in lines if line.strip().startswith("change")]
    assert changes == [["change", *["-0.12"] * 4], ["change", *["+0.25"] * 4]]
    assert "engines: none" in lines
    assert any(line.startswith("  int8-cpu     29  ") and "Mul 4" in line for line in lines)


def test_json_holds_all_of_it(full: Path) -> None:
    result = CliRunner().invoke(cli, ["inspect", "--json", str(full)])
    content = json.loads(result.output)
    assert content["graphs"]["int8"]["reranker"]["operators"]["Mul"] == 3
    assert content["graphs"]["int8"]["reranker"]["size"] > 0
    assert content["parity"]["fp16"]["dual_r1"] == 61.25
    assert content["engines"] == []
    assert content["model"]["embed_dim"] == 3


def test_hashes_are_compared_when_asked_for(bundle_copy: Path) -> None:
    graph = bundle_copy / "onnx/fp32/reranker.onnx"
    data = bytearray(graph.read_bytes())
    data[data.index(b"match_logits")] ^= 1
    graph.write_bytes(data)
    assert CliRunner().invoke(cli, ["inspect", str(bundle_copy)]).exit_code == 0
    result = CliRunner().invoke(cli, ["inspect", "--check", str(bundle_copy)])
    assert isinstance(result.exception, BundleError)
    assert "reranker.onnx: SHA-256 is" in str(result.exception)


def test_it_needs_neither_torch_nor_onnx(full: Path) -> None:
    blocked = ("torch", "onnx", "onnxruntime", "transformers", "timm")
    code = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in blocked)
    code += f"sys.argv = ['cfack', 'inspect', {str(full)!r}]\nfrom cfack.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "operators" in done.stdout
