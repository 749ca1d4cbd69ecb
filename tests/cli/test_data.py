import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cfack.cli import cli
from cfack.data.vocabulary import build_tokenizer
from cfack_runtime.errors import DataError, UsageError


def run(*arguments: object) -> Result:
    """Run the command; an error of ours travels as it does to `main`."""
    return CliRunner().invoke(cli, ["data", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ICFG-like data set."""
    root = tmp_path_factory.mktemp("drawn") / "icfg"
    result = run("synthesize", root, "--layout", "icfg", "--identities", 6, "--seed", 2, "--workers", 1)
    assert result.exit_code == 0, result.output
    assert f"Next: cfack data prepare icfg {root}" in result.output
    assert max(map(len, result.output.split("Wrote")[0].splitlines())) <= 80
    return root


def test_prepare_prints_counts_beside_the_published_ones(drawn: Path, tmp_path: Path) -> None:
    result = run("prepare", "icfg", drawn, "--out", tmp_path)
    assert result.exit_code == 0
    rows = [line.strip("│ ").split() for line in result.output.splitlines() if line.startswith("│")]
    assert [cell for cell in rows[0] if cell != "│"] == ["train", "identities", "5", "3,102", "-3,097"]
    assert f"Wrote train.json, test.json to {tmp_path}" in result.output
    assert "--hold-out-val N takes one from train" in result.output
    assert not (drawn / "train.json").exists()


def test_prepare_can_hold_out_a_val_split_and_print_json(drawn: Path, tmp_path: Path) -> None:
    result = run("prepare", "ICFG-PEDES", drawn, "--out", tmp_path, "--hold-out-val", 2, "--json")
    summary = json.loads(result.output)
    assert [(s["name"], s["counts"]["identities"]) for s in summary["splits"]] == [
        ("train", 3),
        ("val", 2),
        ("test", 1),
    ]
    assert summary["splits"][1]["published"] is None
    assert summary["skipped"] == []


def test_prepare_lists_what_it_skips(drawn: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "imgs").symlink_to(drawn / "imgs")
    records = json.loads((drawn / "ICFG-PEDES.json").read_text())
    records[0]["captions"] = ["..."]
    (copy / "ICFG-PEDES.json").write_text(json.dumps(records))
    with pytest.raises(DataError, match="2 faults|1 record is bad"):
        run("prepare", "icfg", copy)
    result = run("prepare", "icfg", copy, "--skip-bad")
    assert "2 faults left out" in result.output
    assert "record 0" in result.output
    assert (copy / "skipped.json").is_file()


def test_stats_measure_every_split(drawn: Path, tmp_path: Path) -> None:
    run("prepare", "icfg", drawn, "--out", tmp_path)
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(build_tokenizer(["a man in red"], 300, 40).to_json())
    result = run("stats", tmp_path, "--tokenizer", tokenizer, "--max-tokens", 30)
    assert result.exit_code == 0
    assert result.output.count("word pieces per caption") == 2
    assert "train: 100.0 % of the captions exceed 30 word pieces" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


def test_stats_print_json(drawn: Path, tmp_path: Path) -> None:
    run("prepare", "icfg", drawn, "--out", tmp_path)
    found = json.loads(run("stats", tmp_path, "--json").output)
    assert [split["name"] for split in found["splits"]] == ["train", "test"]
    assert found["splits"][0]["pieces"] is None
    assert found["splits"][0]["height"]["minimum"] > 50


def test_stats_of_an_unprepared_folder_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run `cfack data prepare NAME"):
        run("stats", tmp_path)


def test_an_unknown_data_set_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no data set 'market'; known: cuhk"):
        run("prepare", "market", tmp_path)


def test_drawing_into_a_folder_that_holds_something_is_refused(drawn: Path) -> None:
    with pytest.raises(UsageError, match="not empty"):
        run("synthesize", drawn, "--identities", 6)


def test_preparing_a_data_set_loads_no_torch(drawn: Path, tmp_path: Path) -> None:
    script = f"""
import sys
from click.testing import CliRunner
from cfack.cli import cli
result = CliRunner().invoke(cli, ["data", "prepare", "icfg", {str(drawn)!r}, "--out", {str(tmp_path)!r}])
assert result.exit_code == 0, result.output
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
