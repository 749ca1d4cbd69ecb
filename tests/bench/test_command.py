"""What `cfack bench` refuses before it measures anything, and how it keeps what was asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cfack_bench.results import Results
from cfack_runtime.errors import UsageError

Command = Callable[..., Any]
Rounds = list[list[float]]


@pytest.fixture(autouse=True)
def _no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_bench(options: Any, report: Any) -> Results:
        raise AssertionError(f"measured with {options.command}")

    monkeypatch.setattr("cfack_bench.run.run_bench", run_bench)


def test_results_of_an_earlier_run_are_not_lost(toy_bundle: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "results.json").write_text("{}")

    refused = command(toy_bundle, "--out", tmp_path, "--no-plots")
    allowed = command(toy_bundle, "--out", tmp_path, "--no-plots", "--overwrite")

    assert isinstance(refused.exception, UsageError)
    assert "is there already; name another folder, or give --overwrite" in str(refused.exception)
    assert isinstance(allowed.exception, AssertionError)


def test_a_document_without_markers_is_found_before_the_minutes_are_spent(
    toy_bundle: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "README.md").write_text("no table here")

    done = command(toy_bundle, "--no-plots", "--out", tmp_path / "o", "--export-table", tmp_path / "README")

    assert "holds no markers for 'toy'; write `<!-- cfack-bench toy -->`" in str(done.exception)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--budget", "soon", "'soon' is no duration; write 90s, 5m, 1h or 2m30s"),
        ("--budget", "0s", "no time is left for anything"),
        ("--batch", "1,none", "'1,none' is no list of positive numbers"),
        ("--rate", "0", "'0' is no list of positive numbers"),
        ("--backend", "", "'' is no list of names; write for example fp32,int8-cpu"),
        ("--precision", "fp32,", "'fp32,' is no list of names"),
    ],
)
def test_values_that_make_no_sense_are_refused(
    toy_bundle: Path, command: Command, option: str, value: str, message: str
) -> None:
    done = command(toy_bundle, option, value)

    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert "Usage: bench [OPTIONS] BUNDLE" in done.output


def test_a_place_that_cannot_be_written_is_found_before_the_minutes_are_spent(
    toy_bundle: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "file").write_text("")

    done = command(toy_bundle, "--no-plots", "--out", tmp_path / "file" / "deeper" / "out")

    assert isinstance(done.exception, UsageError)
    assert "file is no folder that one may write into" in str(done.exception)


def test_a_name_that_is_no_file_name_is_refused(toy_bundle: Path, command: Command) -> None:
    done = command(toy_bundle, "--no-plots", "--name", "../up")

    assert "--name '../up': expected letters, digits, '.', '_' and '-'" in str(done.exception)


def test_a_score_that_would_rank_nothing_is_refused(toy_bundle: Path, command: Command) -> None:
    done = command(toy_bundle, "--no-plots", "--score", "log-odds")

    assert str(done.exception) == "--score log-odds is for R@1, which is measured where --data is given"


def test_the_command_is_kept_without_paths_and_without_what_changes_nothing(
    toy_bundle: Path, tmp_path: Path, command: Command
) -> None:
    done = command(
        toy_bundle,
        *("--data", tmp_path / "data", "--budget", "2m30s", "--rate", "2,5.5", "--batch", "1,8"),
        *("--backend", "onnxruntime,pytorch", "--out", tmp_path / "out", "--no-plots", "--name", "mine"),
    )

    assert str(done.exception) == (
        "measured with cfack bench BUNDLE --backend onnxruntime,pytorch --batch 1,8 --rate 2,5.5 "
        "--data DATA --budget 150s"
    )


def test_a_share_is_written_with_its_sign_or_below_one(
    made_up: Callable[..., Results], tmp_path: Path, command: Command
) -> None:
    path = tmp_path / "a.json"
    made_up({("onnxruntime/fp32", "search"): [[1.0] * 20] * 4}).save(path)

    def fail_over(share: str) -> Any:
        return command("compare", path, path, "--fail-over", share)

    assert (fail_over("5%").exit_code, fail_over("0.05").exit_code) == (0, 0)
    assert "'5' is 500%; write 5% or a share below 1" in " ".join(fail_over("5").output.split())
