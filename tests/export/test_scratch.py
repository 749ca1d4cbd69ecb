import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cfack_export.scratch import scratch_folder
from cfack_runtime.errors import UsageError

PREFIX = ".all.cfack.export-"
WORK = """
import sys
from pathlib import Path
from cfack_export.scratch import scratch_folder

with scratch_folder(Path(sys.argv[1]), sys.argv[2], "") as folder:
    (folder / "graph.onnx").write_bytes(b"x" * 1000)
    print(folder, flush=True)
    sys.stdin.read()
"""


@contextmanager
def working(parent: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process with such a folder, and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, str(parent), PREFIX],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())


def test_a_folder_lasts_as_long_as_its_block(tmp_path: Path) -> None:
    def work() -> None:
        with scratch_folder(tmp_path / "new", PREFIX, "") as folder:
            (folder / "file").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert not list((tmp_path / "new").iterdir())


def test_what_a_killed_process_left_is_removed_and_a_running_one_is_not_touched(tmp_path: Path) -> None:
    with working(tmp_path) as (process, killed):
        process.kill()
    assert (killed / "graph.onnx").is_file()

    with working(tmp_path) as (process, running):
        assert not killed.exists()
        with scratch_folder(tmp_path, PREFIX, ""):
            assert (running / "graph.onnx").is_file()
        process.communicate()
    assert not list(tmp_path.iterdir())


def test_folders_of_others_stay(tmp_path: Path) -> None:
    others = [tmp_path / name for name in (f"{PREFIX}notes", ".all.cfack", ".other.cfack.export-1")]
    for folder in others:
        folder.mkdir()
    (others[-1] / "running").touch()
    with scratch_folder(tmp_path, PREFIX, ""):
        pass
    assert all(folder.is_dir() for folder in others)


def test_a_place_that_takes_no_files_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    with (
        pytest.raises(UsageError, match=r"notes/here: takes no files \(.*\); do that"),
        scratch_folder(tmp_path / "notes" / "here", PREFIX, "do that"),
    ):
        pass
