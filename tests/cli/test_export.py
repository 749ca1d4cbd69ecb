import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from cfack.cli import cli, main
from cfack.cli.export_display import show, summary
from cfack.config import ModelConfig, TextConfig, VisionConfig
from cfack.modeling import build_model
from cfack.modeling.checkpoint import save_checkpoint
from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import ParityError, UsageError
from cfack_runtime.tokenizer import SPECIAL_TOKENS, CaptionTokenizer

CONFIG = ModelConfig(
    vision=VisionConfig(image_height=16, image_width=8, patch_size=8, width=8, depth=1, num_heads=2),
    text=TextConfig(
        vocab_size=40,
        width=8,
        num_heads=2,
        intermediate_size=16,
        num_text_layers=1,
        num_fusion_layers=1,
        max_positions=16,
        max_tokens=10,
    ),
    cnn=None,
    embed_dim=4,
    momentum=False,
    mlm=False,
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokenizer = CaptionTokenizer.from_tokens([*SPECIAL_TOKENS, *letters], CONFIG.text.max_tokens)
    save_checkpoint(path, build_model(CONFIG), CONFIG, tokenizer)
    return path


@pytest.fixture(scope="module")
def table(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The bundle, and what `cfack export` printed."""
    out = tmp_path_factory.mktemp("bundle") / "tiny.cfack"
    result = CliRunner(env={"COLUMNS": "80"}).invoke(
        cli, ["export", str(checkpoint), "--out", str(out)], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert result.stderr == ""
    return out, result.stdout


def test_the_table_shows_size_and_error_of_every_graph_in_80_columns(table: tuple[Path, str]) -> None:
    out, text = table
    *lines, last = text.splitlines()

    for graph in ("image_encoder", "text_encoder", "reranker"):
        row = next(line for line in lines if graph in line)
        assert "fp32" in row
        assert " MB " in row
        assert "e-" in row or "0.0e+00" in row
    assert max(map(len, lines)) <= 80
    assert last == f"{out}: fp32 passed the parity gate, see its README.md"


def test_json_names_files_and_figures(
    checkpoint: Path, table: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = table
    monkeypatch.setattr("cfack_export.export.export_bundle", lambda *_, **__: out)  # once is enough
    arguments = ["export", str(checkpoint), "--out", str(out), "--overwrite", "--json"]

    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)

    summary = json.loads(result.stdout)
    bundle = Bundle.open(out)
    assert summary["bundle"] == str(out)
    assert summary["embedding_space"] == bundle.embedding_space
    assert summary["graphs"]["fp32"]["reranker"] == {
        "path": "onnx/fp32/reranker.onnx",
        "size": (out / "onnx/fp32/reranker.onnx").stat().st_size,
        "sha256": bundle.graph("fp32", "reranker").file.sha256,
    }
    assert summary["parity"]["fp32"]["passed"] is True
    assert summary["parity"]["fp32"]["text_encoder_error"] < 1e-5


def test_a_refused_export_exits_with_3_and_one_message(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ParityError("text_encoder, case 'batch 5': differs from PyTorch by 0.1")

    monkeypatch.setattr("cfack_export.export_run.measure_precisions", refuse)
    monkeypatch.setattr(
        "sys.argv", ["cfack", "export", str(checkpoint), "--out", str(tmp_path / "a.cfack"), "--no-cache"]
    )

    with pytest.raises(SystemExit) as caught:
        main()

    assert caught.value.code == 3
    assert capsys.readouterr().err == "error: text_encoder, case 'batch 5': differs from PyTorch by 0.1\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--int8"],
            "int8 is calibrated on real images and must be shown not to lose images: name a prepared",
        ),
        (["--int8-cpu"], "int8-cpu must be shown not to lose images: name a prepared data set with --data"),
        (["--calibration", "8"], "--calibration says how --fp16 and --int8 measure ranges; ask for one"),
        (["--fp16", "--method", "entropy"], "--method says how --int8 takes its scales; ask for it"),
    ],
)
def test_an_option_that_cannot_be_had_is_one_sentence(
    arguments: list[str], message: str, checkpoint: Path, tmp_path: Path
) -> None:
    result = CliRunner().invoke(cli, ["export", str(checkpoint), "--out", str(tmp_path / "x"), *arguments])

    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith(message)
    assert not list(tmp_path.iterdir())


def test_layers_and_nodes_that_were_left_out_are_named(
    table: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = Path(shutil.copytree(table[0], tmp_path / "tiny.cfack"))
    document = json.loads((path / "parity.json").read_text())
    restored = {"exclude": [f"layers.{number}/MatMul" for number in range(8)]}
    kept = {"kept_fp32": [{"name": "layers.0/Add"}]}
    document["precisions"]["fp32"]["conversion"] = {"restored": restored, "graphs": {"a": kept, "b": kept}}
    monkeypatch.setattr("cfack.cli.export_display.read_document", lambda _: document)
    bundle = Bundle.open(path)

    show(bundle)
    *_, layers, nodes, _ = capsys.readouterr().out.splitlines()
    assert layers.startswith("fp32: 8 layers are not quantised: layers.0/MatMul, layers.1/MatMul")
    assert layers.endswith("layers.5/MatMul and 2 more, see parity.json")
    assert nodes == "fp32: 1 node stays in FP32: layers.0/Add"
    assert summary(bundle)["conversions"] == {
        "fp32": {"restored_layers": restored["exclude"], "nodes_in_fp32": ["layers.0/Add"]}
    }


def test_a_name_for_the_bundle_is_required(checkpoint: Path) -> None:
    result = CliRunner().invoke(cli, ["export", str(checkpoint)])

    assert result.exit_code == 2
    assert "Missing option '--out'" in result.stderr


def test_help_loads_neither_torch_nor_onnx() -> None:
    code = """
import sys
from click.testing import CliRunner
from cfack.cli import cli
result = CliRunner().invoke(cli, ["export", "--help"])
assert result.exit_code == 0 and "exit code is 3" in result.output, result.output
assert not {"torch", "onnx", "onnxruntime"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_bundle_with_a_parity_document_of_its_own_is_shown(
    toy_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--rebuild-engines` takes any bundle, also one that another program wrote."""
    bundle = Bundle.open(toy_bundle)
    show(bundle)
    assert "fp32 passed the parity gate" in capsys.readouterr().out
    assert summary(bundle)["conversions"] == {}
