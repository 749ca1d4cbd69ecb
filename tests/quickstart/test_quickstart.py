"""The whole way at its real size, run once: the slowest test of the suite."""

import json
from pathlib import Path

import pytest
from PIL import Image

from cfack.quickstart import QuickstartResult, quickstart
from cfack.quickstart.run import MARKER, Sizes
from cfack.quickstart.stages import STAGES
from cfack_runtime.errors import UsageError


@pytest.fixture
def result(quickstart_result: QuickstartResult) -> QuickstartResult:
    return quickstart_result


@pytest.mark.timeout(1800)
def test_it_finds_persons_that_training_never_saw(result: QuickstartResult) -> None:
    dual, reranked, exported = result.rows
    assert result.gallery >= 200
    assert result.identities >= 100
    assert dual.metrics.r1 >= 25.0
    assert reranked.metrics.r10 > 50.0
    # Processors that round differently train another model: ten of 634 queries are its noise.
    assert reranked.metrics.r1 >= dual.metrics.r1 - 1.5
    assert result.score == "probability"
    assert all(row.milliseconds > 0 for row in (dual, reranked, exported))


def test_the_export_finds_what_the_model_finds(result: QuickstartResult) -> None:
    _, reranked, exported = result.rows
    # The gallery keeps image tokens in float16, so single near-ties may fall the other way.
    assert exported.metrics.r1 == pytest.approx(reranked.metrics.r1, abs=0.5)
    assert exported.metrics.mean_ap == pytest.approx(reranked.metrics.mean_ap, abs=0.2)


def test_it_leaves_figures_a_sheet_a_bundle_and_a_gallery(result: QuickstartResult) -> None:
    figures = json.loads((result.folder / "results.json").read_text())
    assert [row["name"] for row in figures["rows"]] == [row.name for row in result.rows]
    assert set(figures["seconds"]) == set(STAGES)
    assert not Path(figures["bundle"]).is_absolute()
    assert (result.folder / figures["bundle"] / "manifest.json").is_file()
    assert (result.gallery_folder / "gallery.json").is_file()
    with Image.open(result.contact_sheet) as sheet:
        assert sheet.width > 500


def test_a_relative_folder_serves_and_is_replaced_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = Sizes(identities=(40, 4, 6), epochs=1, rerank=4)
    quickstart(Path("out"), small)
    Path("out/stale.txt").touch()
    again = quickstart(Path("out"), small)
    assert again.to_dict()["bundle"] == "person.cfack"
    assert not Path("out/stale.txt").exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="was not made by an earlier quickstart"):
        quickstart(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    assert not (tmp_path / MARKER).exists()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.touch()
    with pytest.raises(UsageError, match="is a file"):
        quickstart(path)
