import hashlib

import pytest

from cfack_runtime.errors import UsageError
from cfack_runtime.files import atomic_folder, atomic_write, sha256_file


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_atomic_write_replaces_the_content_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    atomic_write(path, b"old")
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.json"]


def test_atomic_write_keeps_the_old_file_when_the_last_step_fails(tmp_path):
    path = tmp_path / "a.json"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        atomic_write(path, b"new")
    assert names(tmp_path) == ["a.json"]


def test_files_are_readable_by_whoever_the_umask_lets(tmp_path):
    plain, ours = tmp_path / "plain", tmp_path / "ours"
    plain.write_bytes(b"")
    atomic_write(ours, b"")
    assert ours.stat().st_mode == plain.stat().st_mode


def test_atomic_folder_appears_whole_and_makes_its_parents(tmp_path):
    target = tmp_path / "deep" / "bundle"
    with atomic_folder(target) as folder:
        (folder / "onnx").mkdir()
        (folder / "onnx" / "a").write_text("1")
        assert not target.exists()
    assert (target / "onnx" / "a").read_text() == "1"
    assert names(target.parent) == ["bundle"]


def test_atomic_folder_leaves_nothing_when_its_block_fails(tmp_path):
    def interrupted(folder):
        (folder / "a").write_text("1")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "bundle") as folder:
        interrupted(folder)
    assert names(tmp_path) == []


def test_atomic_folder_takes_the_place_of_an_empty_folder(tmp_path):
    target = tmp_path / "bundle"
    target.mkdir()
    with atomic_folder(target) as folder:
        (folder / "a").write_text("1")
    assert names(target) == ["a"]


def test_atomic_folder_refuses_a_full_folder_and_says_what_to_do(tmp_path):
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "mine").write_text("1")
    with (
        pytest.raises(UsageError, match="bundle exists and is not empty; give another path"),
        atomic_folder(target),
    ):
        pytest.fail("the block must not run")
    assert names(target) == ["mine"]


def test_atomic_folder_never_replaces_a_file(tmp_path):
    target = tmp_path / "bundle"
    target.write_text("1")
    with pytest.raises(UsageError, match="is a file"), atomic_folder(target, overwrite=True):
        pytest.fail("the block must not run")
    assert target.read_text() == "1"


def test_atomic_folder_swaps_an_old_folder_at_the_end_only(tmp_path):
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").write_text("1")
    with atomic_folder(target, overwrite=True) as folder:
        (folder / "new").write_text("2")
        assert names(target) == ["old"]
    assert names(target) == ["new"]
    assert names(tmp_path) == ["bundle"]


def test_a_failed_overwrite_keeps_the_old_folder(tmp_path):
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").write_text("1")

    def half_way(folder):
        (folder / "new").write_text("2")
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"), atomic_folder(target, overwrite=True) as folder:
        half_way(folder)
    assert names(target) == ["old"]
    assert names(tmp_path) == ["bundle"]


def test_what_appeared_meanwhile_is_not_replaced(tmp_path):
    target = tmp_path / "bundle"

    def meanwhile():
        target.mkdir()
        (target / "of another process").write_text("1")

    with pytest.raises(UsageError, match="not empty"), atomic_folder(target):
        meanwhile()
    assert names(target) == ["of another process"]
    assert names(tmp_path) == ["bundle"]


def test_a_link_to_a_folder_keeps_pointing_where_it_did(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    with atomic_folder(link) as folder:
        (folder / "a").write_text("1")
    assert link.is_symlink()
    assert names(real) == ["a"]


def test_sha256_of_a_file_larger_than_one_chunk(tmp_path):
    path = tmp_path / "big"
    data = bytes(range(256)) * 5000
    path.write_bytes(data)
    assert sha256_file(path) == hashlib.sha256(data).hexdigest()
    path.write_bytes(b"")
    assert sha256_file(path) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
