"""A writer that is killed at every step it takes, and a disk that is full at every step."""

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfack_runtime.errors import GalleryError
from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_check import check_gallery
from cfack_runtime.gallery_index import GalleryImage, Identity, TokenShape
from cfack_runtime.gallery_segment_writer import SegmentWriter
from cfack_runtime.gallery_writer import GalleryWriter

IDENTITY = Identity("a" * 64, 2, TokenShape(3, 4), "/models/person.cfack", "/photos")
CALLS = ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir")


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process loses nothing that it wrote; only a power cut asks for fsync, which is counted."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def add(writer: GalleryWriter, *paths: str) -> None:
    numbers = np.array([int(path[-1]) for path in paths])
    tokens = np.broadcast_to(numbers[:, None, None], (len(paths), 3, 4)).astype(np.float16)
    embeddings = np.stack([np.cos(numbers), np.sin(numbers)], axis=1).astype(np.float32)
    writer.add(embeddings, tokens, [GalleryImage(path, 10, 20, {"n": 1}) for path in paths])


def make(out: Path) -> None:
    with GalleryWriter(out, IDENTITY, "fp32") as writer:
        for paths in (("a1", "b2"), ("c3",), ("d4", "e5", "f6")):
            add(writer, *paths)
            writer.commit()
        writer.remove(["e5"])


def content(out: Path) -> list[tuple[str, float, dict[str, Any]]]:
    gallery = Gallery.open(out)
    embeddings = np.asarray(gallery.embeddings)
    tokens = gallery.tokens(np.arange(len(gallery)))
    assert [float(one[0, 0]) for one in tokens] == [int(image.path[-1]) for image in gallery.images]
    return [
        (image.path, float(row[0]), dict(image.metadata))
        for image, row in zip(gallery.images, embeddings, strict=True)
    ]


def do_add(writer: GalleryWriter) -> None:
    add(writer, "b2", "g7")
    writer.commit()


def do_remove(writer: GalleryWriter) -> None:
    writer.remove(["a1", "c3"])


def do_set_metadata(writer: GalleryWriter) -> None:
    writer.set_metadata({"a1": {"camera": "east"}, "f6": {"camera": "west"}})


def do_compact(writer: GalleryWriter) -> None:
    writer.compact()


class Trouble:
    """Something happens at the n-th step that changes the disk."""

    def __init__(self, at: int, happen: Callable[[], None]) -> None:
        self.steps, self._at, self._happen = 0, at, happen
        self._calls = {name: getattr(os, name) for name in CALLS}
        self._write = SegmentWriter._write

    def __enter__(self) -> "Trouble":
        for name, call in self._calls.items():
            setattr(os, name, self._before(call))

        def write(segment: SegmentWriter, name: str, data: bytes) -> None:
            stream = segment._files[name]
            for part in (data[: len(data) // 2], data[len(data) // 2 :]):
                self._step()
                stream.write(part)
                stream.flush()
            segment._hashes[name].update(data)

        SegmentWriter._write = write  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        for name, call in self._calls.items():
            setattr(os, name, call)
        SegmentWriter._write = self._write  # type: ignore[method-assign]

    def _before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            self._step()
            return call(*arguments, **options)

        return wrapped

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self._at:
            self._happen()


def run_and_die(out: Path, operation: Callable[[GalleryWriter], None], at: int) -> bool:
    """In a process of its own; false: it ended before it was to die."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            kill = Trouble(at, lambda: os.kill(os.getpid(), signal.SIGKILL))
            with GalleryWriter.reopen(out) as writer, kill:
                operation(writer)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0


@pytest.mark.parametrize("operation", [do_add, do_remove, do_set_metadata, do_compact])
def test_a_writer_killed_at_any_step_leaves_the_gallery_as_it_was_before_or_after(
    tmp_path: Path, operation: Callable[[GalleryWriter], None]
) -> None:
    make(tmp_path / "before")
    before = content(tmp_path / "before")
    make(tmp_path / "after")
    with GalleryWriter.reopen(tmp_path / "after") as writer:
        operation(writer)
    after = content(tmp_path / "after")
    seen, at, killed = [], 1, True
    while killed:
        out = tmp_path / f"g{at}"
        make(out)
        killed = run_and_die(out, operation, at)
        found = content(out)
        assert found in (before, after), at
        assert check_gallery(out).faults == ()
        seen.append(found == after)
        # The next writer clears up and goes on.
        with GalleryWriter.reopen(out) as writer:
            operation(writer)
        assert content(out) == after
        listed = {segment.name for segment in Gallery.open(out).index.segments}
        assert {entry.name for entry in (out / "segments").iterdir()} == listed
        assert sorted(entry.name for entry in out.iterdir()) == [".lock", "gallery.json", "segments"]
        at += 1
    assert at > 4
    assert seen[-1]
    if before != after:
        assert seen == sorted(seen)  # not done, then done, with one step between
        assert not seen[0]


@pytest.mark.parametrize("operation", [do_add, do_remove, do_set_metadata, do_compact])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_step_loses_nothing(
    tmp_path: Path, operation: Callable[[GalleryWriter], None], number: int
) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number))

    make(tmp_path / "after")
    before = content(tmp_path / "after")
    with GalleryWriter.reopen(tmp_path / "after") as writer:
        operation(writer)
    after = content(tmp_path / "after")
    messages: list[str] = []
    for at in range(1, 200):
        out = tmp_path / f"g{at}"
        make(out)
        with GalleryWriter.reopen(out) as writer:
            try:
                with Trouble(at, fail) as trouble:
                    operation(writer)
            except GalleryError as error:
                messages.append(str(error))
        assert content(out) in (before, after), at
        assert check_gallery(out).faults == ()
        with GalleryWriter.reopen(out) as writer:
            operation(writer)
        assert content(out) == after
        if trouble.steps < at:
            break
    assert len(messages) >= 3
    for message in messages:
        assert f"cannot be written: {os.strerror(number)}. The 5 images committed before are safe" in message


FILLING = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_gallery_crash import add
import test_gallery_crash as crash
from cfack_runtime.errors import GalleryError
from cfack_runtime.gallery_writer import GalleryWriter
with GalleryWriter.reopen(sys.argv[1]) as writer:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    try:
        for n in range(9):
            add(writer, *[f"x{n}{i}" for i in range(9)])
        writer.commit()
    except GalleryError as error:
        print(error)
"""


def test_a_file_that_may_not_grow_is_a_clear_error(tmp_path: Path) -> None:
    # A real failure of the system's own write, in a process of its own.
    make(tmp_path / "g")
    before = content(tmp_path / "g")
    done = subprocess.run(
        [sys.executable, "-c", FILLING, tmp_path / "g", Path(__file__).parent],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot be written: File too large. The 5 images committed before are safe" in done.stdout
    assert content(tmp_path / "g") == before
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100
