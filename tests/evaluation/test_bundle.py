"""`cfack evaluate --bundle` against the evaluation of the checkpoint, on a really trained model."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cfack.cli.evaluate import command
from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import UsageError


def figures(*arguments):
    outcome = CliRunner().invoke(command, [*map(str, arguments), "--json"], catch_exceptions=False)
    return json.loads(outcome.output)


def test_a_bundle_has_the_metrics_of_its_checkpoint(trained_tiny: Path) -> None:
    rest = ["--data", trained_tiny / "data", "--split", "val", "--rerank", 32]
    exported = figures(
        "--bundle", trained_tiny / "person.cfack", *rest, "--precision", "fp32", "--threads", 1
    )
    trained = figures(trained_tiny / "run" / "best", *rest, "--device", "cpu")
    for stage in ("dual", "reranked"):
        for name, value in trained[stage].items():
            # Tokens in FP16 may swap two images that are all but equal, far down a list.
            assert exported[stage][name] == pytest.approx(value, abs=0.05), (stage, name)
    for name in ("queries", "gallery", "identities", "candidates", "candidate_recall"):
        assert exported[name] == trained[name]


def test_fitted_probabilities_are_stored_in_the_bundle_and_nothing_else_changes(
    trained_tiny: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(trained_tiny / "person.cfack", tmp_path / "copy.cfack"))
    before = Bundle.open(bundle).manifest
    data = trained_tiny / "data"
    account = figures("--bundle", bundle, "--data", data, "--split", "val", "--rerank", 16, "--fit-scores")
    after = Bundle.open(bundle).manifest
    fitted = after.score_calibration
    assert fitted is not None
    assert fitted.slope > 0
    assert fitted.pairs == account["queries"] * 16
    assert account["score_calibration"]["slope"] == fitted.slope
    assert account["score_calibration"]["cosine"] == fitted.cosine
    assert (after.graphs, after.embedding_space) == (before.graphs, before.embedding_space)


def test_fitted_probabilities_rank_no_worse_than_the_encoders(trained_tiny: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(trained_tiny / "person.cfack", tmp_path / "copy.cfack"))
    rest = ["--bundle", bundle, "--data", trained_tiny / "data", "--split", "val", "--rerank", 32]
    by_logit = figures(*rest, "--fit-scores")
    by_probability = figures(*rest, "--score", "probability")
    assert by_probability["dual"] == by_logit["dual"]
    assert by_probability["reranked"] != by_logit["reranked"]
    assert by_probability["reranked"]["mean_ap"] >= by_probability["dual"]["mean_ap"]


def test_what_is_measured_must_be_one_thing(tmp_path: Path) -> None:
    for arguments, message in (
        (["--data", str(tmp_path)], "either CHECKPOINT or --bundle"),
        (["x", "--bundle", "y", "--data", str(tmp_path)], "either CHECKPOINT or --bundle"),
        (["x", "--fit-scores", "--data", str(tmp_path)], "--fit-scores needs --bundle"),
        (["--bundle", "y", "--rerank", "0", "--fit-scores", "--data", str(tmp_path)], "--rerank above 0"),
    ):
        outcome = CliRunner().invoke(command, arguments)
        assert isinstance(outcome.exception, UsageError)
        assert message in str(outcome.exception)


def test_measuring_a_bundle_loads_no_torch() -> None:
    code = "import sys, cfack.evaluation.bundle; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
