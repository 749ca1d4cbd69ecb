import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cfack_export import stages
from cfack_export.stages import StageCache, default_cache
from cfack_runtime.errors import UsageError


def write(content: str = "graph") -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "file").write_text(content)

    return make


def never(folder: Path) -> None:
    raise AssertionError("this stage is finished")


def test_a_finished_stage_is_not_made_again(tmp_path: Path) -> None:
    first = StageCache(tmp_path).folder("fp32", {"weights": "a"}, write())
    cache = StageCache(tmp_path)
    assert cache.folder("fp32", {"weights": "a"}, never) == first
    assert cache.reused == ["fp32"]
    assert (first / "file").read_text() == "graph"


@pytest.mark.parametrize(
    ("name", "inputs"), [("fp16", {"weights": "a"}), ("fp32", {"weights": "b"}), ("fp32", {})]
)
def test_other_inputs_make_another_stage(tmp_path: Path, name: str, inputs: dict[str, str]) -> None:
    cache = StageCache(tmp_path)
    first = cache.folder("fp32", {"weights": "a"}, write("one"))
    second = cache.folder(name, inputs, write("two"))
    assert (first / "file").read_text() == "one"
    assert (second / "file").read_text() == "two"
    assert cache.reused == []


def test_another_version_of_a_tool_makes_another_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = StageCache.key("fp32", {})
    monkeypatch.setattr(stages, "tool_versions", lambda: {"torch": "0.0"})
    assert StageCache.key("fp32", {}) != before


def test_a_changed_line_of_our_own_code_makes_another_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    before = StageCache.key("fp32", {})
    monkeypatch.setattr(stages, "_own_code", lambda: "edited")
    assert StageCache.key("fp32", {}) != before


def test_a_stage_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    cache = StageCache(tmp_path / "cache")
    with pytest.raises(KeyboardInterrupt):
        cache.folder("fp32", {}, fail)
    assert list((tmp_path / "cache").iterdir()) == []
    cache.folder("fp32", {}, write())


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = StageCache(tmp_path, limit=250)
    old, new, newest = (cache.folder("fp32", {"n": n}, write("x" * 100)) for n in range(3))
    os.utime(old, (1, 1))
    os.utime(new, (2, 2))
    cache.prune()
    assert [path.exists() for path in (old, new, newest)] == [False, True, True]


def test_using_a_stage_keeps_it(tmp_path: Path) -> None:
    cache = StageCache(tmp_path, limit=100)
    old, new = (cache.folder("fp32", {"n": n}, write("x" * 100)) for n in range(2))
    os.utime(old, (1, 1))
    os.utime(new, (2, 2))
    cache.folder("fp32", {"n": 0}, never)
    cache.prune()
    assert old.exists()
    assert not new.exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file/cache: takes no files .*--no-cache"):
        StageCache(tmp_path / "file" / "cache").folder("fp32", {}, write())


def test_the_default_is_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "cfack" / "export"


def test_a_damaged_stage_is_made_again(tmp_path: Path) -> None:
    cache = StageCache(tmp_path)
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "a.onnx").write_bytes(b"x" * 100)

    path = cache.folder("fp32", {}, make)
    assert cache.folder("fp32", {}, make) == path
    (path / "a.onnx").write_bytes(b"x" * 10)
    assert (cache.folder("fp32", {}, make) / "a.onnx").stat().st_size == 100
    (path / "a.onnx").unlink()
    cache.folder("fp32", {}, make)
    assert len(made) == 3
    assert cache.reused == ["fp32"]


def test_a_full_disk_is_one_sentence_and_earlier_stages_stay(tmp_path: Path) -> None:
    cache = StageCache(tmp_path)
    first = cache.folder("fp32", {}, lambda folder: (folder / "a").touch())

    def make(folder: Path) -> None:
        (folder / "b").touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UsageError, match=r"no room for a finished stage \(No space left.*make room.*--cache"):
        cache.folder("fp16", {}, make)
    assert list(tmp_path.iterdir()) == [first]


def test_what_is_being_made_is_not_pruned_and_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    cache = StageCache(tmp_path, limit=0)
    abandoned = tmp_path / ".making-abandoned"
    abandoned.mkdir()
    (abandoned / "running").touch()

    def make(folder: Path) -> None:
        assert not abandoned.exists()
        StageCache(tmp_path, limit=0).prune()
        (folder / "a").touch()

    path = cache.folder("fp32", {}, make)
    assert (path / "a").is_file()
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_later_stage_does_in_the_folder_of_an_earlier_one_is_no_damage(tmp_path: Path) -> None:
    path = StageCache(tmp_path).folder("fp32", {}, write())
    (path / ".calibrate-1").mkdir()
    (path / ".calibrate-1" / "graph.onnx").touch()
    assert StageCache(tmp_path).folder("fp32", {}, never) == path


def test_two_exports_may_finish_the_same_stage(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "a").write_text("slower")
        StageCache(tmp_path).folder("fp32", {}, write("faster"))

    path = StageCache(tmp_path).folder("fp32", {}, make)
    assert (path / "file").read_text() == "faster"
    assert list(tmp_path.iterdir()) == [path]
