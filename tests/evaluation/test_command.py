import json
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from cfack.cli.evaluate import command
from cfack.data.annotations import write_split
from cfack.modeling.checkpoint import save_checkpoint
from cfack_runtime.errors import CheckpointError, ConfigError, DataError, UsageError


@pytest.fixture
def folders(tmp_path, tiny_model, tiny_config, tokenizer, noise_split):
    """Checkpoint and data as arguments of the command."""
    save_checkpoint(tmp_path / "checkpoint", tiny_model, tiny_config, tokenizer)
    write_split(tmp_path, _every_image_captioned(noise_split))
    return [str(tmp_path / "checkpoint"), "--data", str(tmp_path), "--split", "val", "--device", "cpu"]


def _every_image_captioned(split):
    return replace(
        split,
        records=tuple(replace(record, captions=record.captions or ("red",)) for record in split.records),
    )


def run(*arguments):
    return CliRunner().invoke(command, arguments, catch_exceptions=True)


def test_the_table_fits_80_columns_and_shows_every_stage(folders):
    outcome = run(*folders, "--rerank", "3")
    assert outcome.exit_code == 0, outcome.output
    lines = outcome.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "noise, val split, in percent" in lines[0]
    for part in ("R@1", "R@5", "R@10", "mAP", "mINP", "dual encoder", "re-ranked 3", "candidate recall"):
        assert part in outcome.stdout
    assert "11 images of 5 identities" in outcome.stdout
    assert "official" not in outcome.stdout.lower()


def test_without_reranking_only_the_dual_encoder_is_shown(folders):
    outcome = run(*folders, "--rerank", "0")
    assert outcome.exit_code == 0, outcome.output
    assert "dual encoder" in outcome.stdout
    assert "re-ranked" not in outcome.stdout
    assert "candidate recall" not in outcome.stdout


def test_the_official_fill_is_said_beside_its_figures(folders):
    outcome = run(*folders, "--rerank", "3", "--official")
    assert outcome.exit_code == 0, outcome.output
    assert "re-ranked 3, official" in outcome.stdout
    assert "gallery order" in outcome.stdout


def test_json_holds_the_figures_of_the_table(folders):
    document = json.loads(run(*folders, "--rerank", "3", "--json").stdout)
    assert document["candidates"] == 3
    assert document["gallery"] == 11
    table = run(*folders, "--rerank", "3", "--batch-size", "2").stdout
    for stage in ("dual", "reranked"):
        for figure in document[stage].values():
            assert f"{figure:.2f}" in table


def test_more_candidates_than_images_are_shown_as_what_they_were(folders):
    assert json.loads(run(*folders, "--json").stdout)["candidates"] == 11


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (["--official", "--rerank", "0"], UsageError, "--official is about"),
        (["--split", "train"], DataError, "there is no train split"),
        (["--device", "toaster"], ConfigError, "toaster"),
    ],
)
def test_what_cannot_be_done_is_said(folders, change, kind, message):
    outcome = run(*folders, *change)
    assert isinstance(outcome.exception, kind)
    assert message in str(outcome.exception)


def test_a_checkpoint_that_is_missing_or_lacks_its_tokenizer_is_said(folders, tmp_path):
    (tmp_path / "checkpoint" / "tokenizer.json").unlink()
    outcome = run(*folders)
    assert isinstance(outcome.exception, CheckpointError)
    assert "has no tokenizer.json" in str(outcome.exception)
    outcome = run(str(tmp_path / "nowhere"), *folders[1:])
    assert isinstance(outcome.exception, CheckpointError)
    assert "no checkpoint folder" in str(outcome.exception)


def test_the_help_needs_no_torch():
    code = (
        "import sys; from click.testing import CliRunner; from cfack.cli.evaluate import command\n"
        "outcome = CliRunner().invoke(command, ['--help'])\n"
        "assert outcome.exit_code == 0 and '--rerank' in outcome.output\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
