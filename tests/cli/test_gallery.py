"""`cfack gallery`, on a gallery of the toy model."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cfack.cli.gallery import command
from cfack_runtime.errors import GalleryError, UsageError
from cfack_runtime.gallery import Gallery
from cfack_runtime.retriever import Retriever


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [*map(str, arguments)])


@pytest.fixture
def gallery(toy_bundle: Path, photos: Path, tmp_path: Path) -> Path:
    with Retriever.open(toy_bundle, threads=1) as retriever:
        retriever.index(photos, tmp_path / "g")
    return tmp_path / "g"


def test_info_says_what_is_there(gallery: Path, photos: Path) -> None:
    result = run("info", gallery)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == f"{gallery}: 5 images in 1 segments, 0 removed ones still on the disk"
    assert "embeddings   fp32, 3 numbers each" in lines
    assert "tokens       fp16" in lines
    assert f"root         {photos}" in lines
    account = json.loads(run("info", gallery, "--json").output)
    assert (account["images"], account["bytes"]["tokens.f16"], account["fields"]) == (5, 5 * 16 * 2, {})


def test_images_are_deleted_by_path_and_their_bytes_by_compacting(gallery: Path) -> None:
    would = run("delete", gallery, "red.png", "--dry-run")
    assert would.output.splitlines() == ["  red.png", "1 would be deleted, 4 images left"]
    assert len(Gallery.open(gallery)) == 5
    result = run("delete", gallery, "red.png", "sub/red-bottom.png")
    assert result.output.splitlines()[-1] == "2 deleted, 3 images left"
    assert "cfack gallery compact" in run("info", gallery).output
    report = json.loads(run("compact", gallery, "--json").output)
    assert (report["removed"], report["segments_after"]) == (2, 1)
    assert "0 removed ones" in run("info", gallery).output
    assert run("compact", gallery).output.startswith("1 segments became 1, ")


def test_images_are_deleted_by_a_filter(gallery: Path) -> None:
    would = run("delete", gallery, "--where", "path~*red*", "--dry-run", "--json")
    account = json.loads(would.output)
    assert sorted(account["deleted"]) == ["red-top.png", "red.png", "sub/red-bottom.png"]
    assert (account["images"], account["dry_run"]) == (2, True)
    run("delete", gallery, "--where", "path~*red*", "--where", "not path~sub/*")
    assert sorted(image.path for image in Gallery.open(gallery).images) == [
        "blue.png",
        "green.png",
        "sub/red-bottom.png",
    ]
    assert isinstance(run("delete", gallery, "--where", "camera=east").exception, UsageError)


def test_a_path_that_is_not_there_deletes_nothing(gallery: Path, photos: Path) -> None:
    result = run("delete", gallery, "red.png", "typo.png", "other.png")
    assert isinstance(result.exception, GalleryError)
    message = str(result.exception)
    assert "holds no image 'typo.png' (and 1 more of those given); nothing was deleted" in message
    assert message.endswith(f"Paths are relative to its root, {photos}")
    assert len(Gallery.open(gallery)) == 5
    assert "by PATH, or by --where" in str(run("delete", gallery).exception)


def test_verify_finds_what_opening_does_not(gallery: Path) -> None:
    result = run("verify", gallery)
    assert result.output.startswith(f"{gallery}: 5 images, ")
    assert "all as they were written" in result.output
    tokens = next(gallery.glob("segments/*/tokens.f16"))
    data = bytearray(tokens.read_bytes())
    data[3] ^= 1
    tokens.write_bytes(data)
    assert len(Gallery.open(gallery)) == 5
    result = run("verify", gallery)
    assert isinstance(result.exception, GalleryError)
    assert "1 of 1 segments are damaged" in str(result.exception)
    assert f"{tokens}: its SHA-256" in str(result.exception)
    assert json.loads(run("verify", gallery, "--json").stdout)["faults"]
