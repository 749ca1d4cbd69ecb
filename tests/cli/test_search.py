"""`cfack search`, with the toy model of tests/conftest.py."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cfack.cli.search import command
from cfack_runtime.errors import CfackError, DataError, EmbeddingSpaceError, GalleryError, UsageError
from cfack_runtime.retriever import Retriever


def search(*arguments: object) -> Result:
    return CliRunner().invoke(command, [*map(str, arguments), "--threads", "1"])


def answer(*arguments: object) -> Any:
    result = search(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def failure(*arguments: object) -> tuple[type[BaseException], str]:
    result = search(*arguments)
    assert isinstance(result.exception, CfackError), result.output
    return type(result.exception), str(result.exception)


@pytest.fixture
def gallery(photos: Path, toy_bundle: Path, tmp_path: Path) -> Path:
    with Retriever.open(toy_bundle, threads=1) as retriever:
        return retriever.index(photos, tmp_path / "gallery").path


@pytest.fixture
def bare_gallery(photos: Path, toy_bundle: Path, tmp_path: Path) -> Path:
    with Retriever.open(toy_bundle, threads=1) as retriever:
        return retriever.index(photos, tmp_path / "bare", tokens=False).path


def test_it_prints_a_table(gallery: Path, photos: Path) -> None:
    result = search(gallery, "a person in a red coat", "-k", 3)
    assert result.output.splitlines() == [
        "a person in a red coat",
        "rank   score   match  path",
        "   1   1.000   0.982  red.png",
        "   2   0.447   0.982  sub/red-bottom.png",
        "   3   0.894   0.018  red-top.png",
        "",
        f"images in {photos}",
    ]


def test_what_was_not_reranked_has_no_match_score(gallery: Path) -> None:
    lines = search(gallery, "red", "-k", 3, "--rerank", 1).output.splitlines()
    assert lines[2:5] == [
        "   1   1.000   0.982  red.png",
        "   2   0.894       -  red-top.png",
        "   3   0.447       -  sub/red-bottom.png",
    ]


def test_several_queries_have_a_table_each(gallery: Path) -> None:
    output = search(gallery, "red", "blue", "-k", 1).output
    assert "red\nrank   score   match  path\n   1   1.000   0.982  red.png\n\nblue\nrank" in output
    assert "   1   1.000   0.982  blue.png" in output


def test_json_holds_both_scores_and_absolute_paths(gallery: Path, photos: Path, toy_bundle: Path) -> None:
    account = answer(gallery, "red", "-k", 1)
    hit = account["results"][0]["hits"][0]
    assert (hit["rank"], hit["path"], hit["metadata"]) == (1, str(photos / "red.png"), {})
    assert hit["score"] == pytest.approx(1, abs=1e-5)
    assert hit["match_score"] == pytest.approx(0.98201, abs=1e-4)
    assert hit["match_logit"] == pytest.approx(2, abs=1e-4)
    del account["results"]
    assert account == {
        "gallery": str(gallery),
        "images": 5,
        "bundle": str(toy_bundle),
        "precision": "fp32",
        "rerank": 128,
        "min_score": None,
        "where": [],
        "score": "logit",
        "notes": [],
    }


def test_a_person_who_is_not_there_is_an_answer_not_an_error(gallery: Path) -> None:
    result = search(gallery, "red", "--min-score", 0.99)
    assert result.exit_code == 0
    assert "  no image reaches 0.99 (best was 0.982)" in result.output.splitlines()
    found = answer(gallery, "red", "--min-score", 0.99)["results"][0]
    assert found["hits"] == []
    assert found["best_score"] == pytest.approx(0.98201, abs=1e-4)


def test_without_reranking_the_threshold_is_a_cosine(gallery: Path) -> None:
    found = answer(gallery, "red", "--rerank", 0, "--min-score", 0.5)["results"][0]
    assert [Path(hit["path"]).name for hit in found["hits"]] == ["red.png", "red-top.png"]
    assert "(best was 0.707)" in search(gallery, "yellow", "--rerank", 0, "--min-score", 0.8).output


def test_a_gallery_without_tokens_is_searched_with_a_note(bare_gallery: Path) -> None:
    result = search(bare_gallery, "red", "-k", 2)
    assert "   2   0.894       -  red-top.png" in result.output
    assert "note: the gallery holds no image tokens, so nothing was re-ranked" in result.output
    assert len(answer(bare_gallery, "red")["notes"]) == 1
    assert answer(bare_gallery, "red", "--rerank", 0)["notes"] == []


def test_reranking_a_gallery_without_tokens_is_refused_with_the_remedy(bare_gallery: Path) -> None:
    kind, message = failure(bare_gallery, "red", "--rerank", 5)
    assert kind is GalleryError
    assert "holds no image tokens, so nothing can be re-ranked" in message
    assert "--rerank 0" in message


def test_a_contact_sheet_is_written(gallery: Path, tmp_path: Path) -> None:
    result = search(gallery, "red", "blue", "-k", 2, "--sheet", tmp_path / "out.png")
    assert f"contact sheet: {tmp_path / 'out.png'}" in result.output
    with Image.open(tmp_path / "out.png") as sheet:
        colors = {color for _, color in sheet.convert("RGB").getcolors(1 << 24) or []}
    assert {(255, 0, 0), (0, 0, 255)} <= colors


@pytest.mark.parametrize(
    ("name", "message"), [("out.txt", "ends in .png, .jpg"), ("nowhere/out.png", "there is no folder")]
)
def test_a_sheet_that_cannot_be_written_is_refused_before_searching(
    gallery: Path, tmp_path: Path, name: str, message: str
) -> None:
    kind, text = failure(gallery, "red", "--sheet", tmp_path / name)
    assert kind is UsageError
    assert message in text


def test_an_empty_query_is_refused(gallery: Path) -> None:
    kind, message = failure(gallery, "")
    assert kind is DataError
    assert "empty" in message


def test_no_query_at_all_is_a_usage_error(gallery: Path) -> None:
    result = search(gallery)
    assert result.exit_code == 2
    assert "Missing argument 'QUERY...'" in result.output


def test_a_bundle_that_has_moved_is_named_with_an_option(
    photos: Path, bundle_copy: Path, tmp_path: Path
) -> None:
    with Retriever.open(bundle_copy, threads=1) as retriever:
        gallery = retriever.index(photos, tmp_path / "g").path
    bundle_copy.rename(tmp_path / "moved.cfack")
    kind, message = failure(gallery, "red")
    assert kind is GalleryError
    assert f"was made with the bundle {bundle_copy}, which is not there now; give --bundle" in message
    result = search(gallery, "red", "--bundle", tmp_path / "moved.cfack")
    assert result.exit_code == 0


def test_the_bundle_of_another_model_is_refused(
    gallery: Path, write_toy: Callable[..., Path], tmp_path: Path
) -> None:
    other = write_toy(tmp_path / "other.cfack", checkpoint_sha256="f" * 64)
    kind, message = failure(gallery, "red", "--bundle", other)
    assert kind is EmbeddingSpaceError
    assert "scores between them mean nothing" in message


def test_an_empty_folder_is_no_gallery(tmp_path: Path) -> None:
    kind, message = failure(tmp_path, "red")
    assert kind is GalleryError
    assert "gallery.json: no such file" in message


def test_the_command_ends_with_one_line_and_exit_code_1(gallery: Path) -> None:
    arguments = [sys.executable, "-m", "cfack", "search", str(gallery), "..."]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: caption 0")
    assert done.stderr.count("\n") == 1
