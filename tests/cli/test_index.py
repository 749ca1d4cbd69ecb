"""`cfack index`, with the toy model of tests/conftest.py."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cfack.cli.index import command
from cfack_runtime.errors import BundleError, DataError, EmbeddingSpaceError, GalleryError
from cfack_runtime.gallery import Gallery


def index(*arguments: object) -> Result:
    return CliRunner().invoke(command, [*map(str, arguments), "--threads", "1"])


def test_it_says_how_many_images_and_how_fast(photos: Path, toy_bundle: Path, tmp_path: Path) -> None:
    result = index(photos, "--bundle", toy_bundle, "--out", tmp_path / "g")
    assert result.exit_code == 0, result.output
    first, second = result.output.splitlines()
    assert first == f"{tmp_path / 'g'}: 5 images"
    assert second.startswith("5 encoded in ")
    assert second.endswith("images/s; 0 unchanged, 0 removed, 0 skipped")
    assert len(Gallery.open(tmp_path / "g")) == 5


def test_the_gallery_lies_beside_the_folder_unless_said_otherwise(photos: Path, toy_bundle: Path) -> None:
    assert index(photos, "--bundle", toy_bundle).exit_code == 0
    assert len(Gallery.open(photos.with_name("photos.gallery"))) == 5


def test_run_again_it_encodes_nothing(photos: Path, toy_bundle: Path, tmp_path: Path) -> None:
    index(photos, "--bundle", toy_bundle, "--out", tmp_path / "g")
    result = index(photos, "--bundle", toy_bundle, "--out", tmp_path / "g")
    assert result.output.splitlines()[1].startswith("0 encoded in ")
    assert "images/s" not in result.output
    assert "5 unchanged" in result.output


def test_skipped_files_are_listed_once_with_the_reason(
    photos: Path, toy_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    result = index(photos, "--bundle", toy_bundle, "--out", tmp_path / "g")
    assert "1 skipped" in result.output
    assert "  skipped broken.jpg: not a JPEG, PNG, BMP or WebP image" in result.output.splitlines()
    assert "broken.jpg" not in caplog.text
    assert logging.getLogger("cfack_runtime.indexing").level == logging.NOTSET


def test_a_long_list_of_skipped_files_is_cut(photos: Path, toy_bundle: Path, tmp_path: Path) -> None:
    for number in range(25):
        (photos / f"broken{number:02d}.jpg").write_bytes(b"no picture")
    result = index(photos, "--bundle", toy_bundle, "--out", tmp_path / "g")
    assert result.output.count("  skipped broken") == 20
    assert "... and 5 more; --json lists all" in result.output


def test_json_holds_the_whole_account(photos: Path, toy_bundle: Path, tmp_path: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    result = index(photos, "--bundle", toy_bundle, "--out", tmp_path / "g", "--json")
    account = json.loads(result.output)
    assert account.pop("seconds") > 0
    assert account == {
        "gallery": str(tmp_path / "g"),
        "images": 5,
        "added": 5,
        "unchanged": 0,
        "removed": 0,
        "skipped": [{"path": "broken.jpg", "reason": "not a JPEG, PNG, BMP or WebP image"}],
    }


def test_tokens_can_be_left_out(photos: Path, toy_bundle: Path, tmp_path: Path) -> None:
    result = index(photos, "--bundle", toy_bundle, "--out", tmp_path / "g", "--no-tokens", "--batch-size", 2)
    assert result.output.startswith(f"{tmp_path / 'g'}: 5 images, without tokens")
    assert not Gallery.open(tmp_path / "g").has_tokens
    again = index(photos, "--bundle", toy_bundle, "--out", tmp_path / "g")
    assert again.output.startswith(f"{tmp_path / 'g'}: 5 images, without tokens")
    result = index(photos, "--bundle", toy_bundle, "--out", tmp_path / "g", "--tokens", "fp16")
    assert isinstance(result.exception, GalleryError)
    assert "was made with no image tokens" in str(result.exception)
    result = index(photos, "--bundle", toy_bundle, "--out", tmp_path / "g", "--no-tokens", "--tokens", "fp16")
    assert "contradict each other" in str(result.exception)


def test_metadata_are_kept_and_can_be_filtered(photos: Path, toy_bundle: Path, tmp_path: Path) -> None:
    table = tmp_path / "cameras.csv"
    table.write_text("path,camera,frame\nred.png,east,1\nsub/red-bottom.png,west,2\nnowhere.png,east,3\n")
    result = index(photos, "--bundle", toy_bundle, "--out", tmp_path / "g", "--metadata", table)
    assert f"{table}: 2 of the 3 images that it names are in the gallery" in result.output
    gallery = Gallery.open(tmp_path / "g")
    found = gallery.select("camera=west and frame>1")
    assert found is not None
    assert [gallery.images[row].path for row in found.tolist()] == ["sub/red-bottom.png"]


def test_int8_tokens_need_a_gate_that_passed_them(photos: Path, toy_bundle: Path, tmp_path: Path) -> None:
    arguments = (photos, "--bundle", toy_bundle, "--out", tmp_path / "g", "--tokens", "int8")
    assert "has not measured them in precision fp32" in str(index(*arguments).exception)
    assert not (tmp_path / "g").exists()
    assert index(*arguments, "--allow-unmeasured", "--embeddings", "fp16").exit_code == 0
    layout = Gallery.open(tmp_path / "g").index.segments[0].layout
    assert (layout.embeddings, layout.tokens) == ("fp16", "int8")


def test_a_name_that_is_not_utf8_is_listed_in_a_form_that_can_be_printed(
    photos: Path, toy_bundle: Path, tmp_path: Path
) -> None:
    (photos / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    result = index(photos, "--bundle", toy_bundle, "--out", tmp_path / "g")
    assert result.exit_code == 0
    assert "skipped caf\\udce9.png: its name is not valid UTF-8; rename it" in result.output


def test_errors_are_those_of_the_library(
    photos: Path, toy_bundle: Path, bundle_copy: Path, tmp_path: Path, write_toy: Callable[..., Path]
) -> None:
    assert isinstance(index(tmp_path / "nowhere", "--bundle", toy_bundle).exception, DataError)
    index(photos, "--bundle", toy_bundle, "--out", tmp_path / "g")
    other = write_toy(tmp_path / "other.cfack", checkpoint_sha256="f" * 64)
    result = index(photos, "--bundle", other, "--out", tmp_path / "g")
    assert isinstance(result.exception, EmbeddingSpaceError)
    (bundle_copy / "tokenizer.json").unlink()
    assert isinstance(index(photos, "--bundle", bundle_copy).exception, BundleError)
