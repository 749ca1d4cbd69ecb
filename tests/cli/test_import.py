"""`cfack import` as a user runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click.testing
import pytest
import torch
from safetensors.torch import load_file

from cfack.cli import cli
from cfack.modeling import tokenizer_source
from cfack.modeling.checkpoint import load_checkpoint, load_experiment, load_tokenizer
from cfack_runtime.errors import CheckpointError, ConfigError, UsageError
from cfack_runtime.tokenizer import SPECIAL_TOKENS

GOLDEN = Path(__file__).parents[1] / "golden" / "official-tiny"
FULL, NO_MLM = GOLDEN / "cfack_tiny_official.th", GOLDEN / "cfack_tiny_official_nomlm.th"
CONFIG = GOLDEN / "config.json"

Run = Callable[..., str]


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is out of reach, wherever the tests run."""

    def refuse(name: str) -> NoReturn:
        raise CheckpointError(f"tokenizer {name!r} is not in the local cache, and the hub cannot be reached")

    monkeypatch.setattr(tokenizer_source, "fetch_from_hub", refuse)


@pytest.fixture
def run() -> Run:
    """Run `cfack import` with arguments; returns what it prints, raises what it raises."""

    def invoke(*arguments: Any) -> str:
        result = click.testing.CliRunner().invoke(
            cli, ["import", *map(str, arguments)], catch_exceptions=False
        )
        assert result.exit_code == 0, result.output
        return result.output

    return invoke


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    """A vocab.txt with as many tokens as the golden checkpoints have word embeddings."""
    words = [f"word{i}" for i in range(512 - len(SPECIAL_TOKENS))]
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *words]))
    return tmp_path / "vocab.txt"


@pytest.mark.parametrize(("file", "expected"), [(FULL, "outputs"), (NO_MLM, "outputs_nomlm")])
def test_an_imported_checkpoint_computes_what_the_released_model_computes(
    file: Path, expected: str, run: Run, vocabulary: Path, tmp_path: Path
) -> None:
    run(file, "--out", tmp_path / "out", "--config", CONFIG, "--tokenizer", vocabulary)
    model = load_checkpoint(tmp_path / "out")
    inputs, outputs = load_file(GOLDEN / "inputs.safetensors"), load_file(GOLDEN / f"{expected}.safetensors")
    mask = inputs["attention_mask"]
    with torch.no_grad():
        images, texts = model.encode_image(inputs["image_weak"]), model.encode_text(inputs["input_ids"], mask)
        scores = [
            model.match(texts.tokens[i : i + 1], mask[i : i + 1], images.tokens)[:, 1]
            for i in range(len(mask))
        ]
    computed = {
        "image_embedding": images.embedding,
        "text_embedding": texts.embedding,
        "itm_score_matrix": torch.stack(scores),
    }
    for name, value in computed.items():
        torch.testing.assert_close(value, outputs[name], atol=1e-5, rtol=0)
    assert load_tokenizer(tmp_path / "out").vocab_size == 512


def test_the_summary_accounts_for_the_file(run: Run, vocabulary: Path, tmp_path: Path) -> None:
    output = run(FULL, "--out", tmp_path / "out", "--config", CONFIG, "--tokenizer", vocabulary)
    for line in (
        "CFACK weights",
        "image      64 x 64 pixels, patches of 16; 3 blocks, 64 wide, 4 heads",
        "text       2 text and 2 fusion layers, 64 wide, 4 heads, 512 word pieces",
        "CNN        test_convnext",
        "momentum   from the file",
        f"tokenizer  {vocabulary}, 512 tokens",
        "used       353 keys",
        "unused     52 keys: fusion layer of the momentum text encoder, which no code ever runs",
        f"wrote {tmp_path / 'out'}",
    ):
        assert line in output


def test_the_account_as_json(run: Run, tmp_path: Path) -> None:
    account = json.loads(run(NO_MLM, "--out", tmp_path / "out", "--config", CONFIG, "--json"))
    assert account["kind"] == "CFACK"
    assert account["used"] == 153
    assert account["unused"]["computed: 0, 1, 2, ..."] == ["text_encoder.embeddings.position_ids"]
    assert account["model"]["text"]["num_heads"] == 4
    assert account["momentum"] == "none"
    assert account["tokenizer"]["found"] is False
    origin = json.loads((tmp_path / "out" / "import.json").read_text())
    assert origin["source"]["file"] == NO_MLM.name
    assert len(origin["source"]["sha256"]) == 64


def test_without_a_configuration_the_contradiction_is_explained_and_nothing_written(
    run: Run, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="weights and configuration contradict each other") as caught:
        run(FULL, "--out", tmp_path / "out")
    assert "text_encoder = 'bert-base-uncased'" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_a_tokenizer_the_checkpoint_is_written_and_says_what_needs_one(
    run: Run, tmp_path: Path
) -> None:
    output = run(FULL, "--out", tmp_path / "out", "--config", CONFIG)
    assert "tokenizer  none: tokenizer 'bert-base-uncased' is not in the local cache" in output
    assert "`cfack evaluate`, `export` and `train` will need one: import again with --tokenizer" in output
    assert load_checkpoint(tmp_path / "out").config.embed_dim == 32
    with pytest.raises(CheckpointError, match="put that of bert-base-uncased there"):
        load_tokenizer(tmp_path / "out")


def test_a_tokenizer_that_was_asked_for_must_fit(run: Run, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "one"]))
    with pytest.raises(CheckpointError, match="has 6 tokens, but the model's word embeddings have 512 rows"):
        run(FULL, "--out", tmp_path / "out", "--config", CONFIG, "--tokenizer", tmp_path / "vocab.txt")
    with pytest.raises(CheckpointError, match="hub cannot be reached"):
        run(FULL, "--out", tmp_path / "out", "--config", CONFIG, "--tokenizer", "bert-large-uncased")
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_is_replaced_only_on_request(run: Run, vocabulary: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(NO_MLM, "--out", out, "--config", CONFIG)
    with pytest.raises(UsageError, match=r"out exists already; give another --out, or --overwrite"):
        run(FULL, "--out", out, "--config", CONFIG)
    assert not load_experiment(out).model.mlm
    run(FULL, "--out", out, "--config", CONFIG, "--overwrite")
    assert load_experiment(out).model.mlm


def test_an_x2vlm_file_becomes_the_start_of_a_preset(run: Run, tmp_path: Path) -> None:
    state = torch.load(NO_MLM, weights_only=True)["model"]
    torch.save({"model": state | {"bbox_head.0.weight": torch.zeros(2, 2)}}, tmp_path / "x2vlm.th")
    preset = tmp_path / "upright.toml"
    preset.write_text(
        "[model]\nembed_dim = 32\nmlm = false\n"
        "[model.vision]\nimage_height = 96\nimage_width = 32\nwidth = 64\ndepth = 3\nnum_heads = 4\n"
        "[model.text]\nvocab_size = 512\nwidth = 64\nnum_heads = 4\nintermediate_size = 128\n"
        "num_text_layers = 2\nnum_fusion_layers = 2\nmax_positions = 64\n"
        '[model.cnn]\nname = "test_convnext"\n'
    )
    output = run(tmp_path / "x2vlm.th", "--out", tmp_path / "out", "--preset", preset)
    assert "X²-VLM weights" in output
    assert "resized    3 relative-position tables: 4 x 4 patches to 6 x 2" in output
    assert "momentum   copied from the online weights (" in output
    assert "bounding-box head of the X²-VLM pre-training" in output
    assert (
        "not in the file: keeps its initialisation\n               cnn_branch.trunk.stem.0.weight" in output
    )
    assert load_checkpoint(tmp_path / "out").config.vision.grid == (6, 2)


def test_a_wrong_configuration_file_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("{'text'")
    with pytest.raises(ConfigError, match=r"c\.json: not a readable JSON file"):
        run(FULL, "--out", tmp_path / "out", "--config", tmp_path / "c.json")


class CallsSystem:
    """Pickled, it asks whoever loads it to run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("echo code was run",)


def test_a_hostile_file_ends_with_one_message_and_exit_code_1(tmp_path: Path) -> None:
    torch.save({"model": {}, "config": CallsSystem()}, tmp_path / "evil.th")
    command = [
        sys.executable,
        "-m",
        "cfack",
        "import",
        str(tmp_path / "evil.th"),
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "code was run" not in done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert ".system, and a checkpoint needs no code" in done.stderr
    assert not (tmp_path / "out").exists()
