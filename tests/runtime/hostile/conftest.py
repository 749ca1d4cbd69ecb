"""A process that opens hostile bundles, and tools to make them."""

from __future__ import annotations

import hashlib
import json
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

MOST_SECONDS = 1.0
MOST_MEGABYTES = 200.0
_PATIENCE = 30.0


class Victim:
    """A process that opens bundles; started again when one kills or hangs it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def open(self, bundle: Path) -> dict[str, Any]:
        process = self._started()
        assert process.stdin is not None
        process.stdin.write(json.dumps({"bundle": str(bundle)}) + "\n")
        process.stdin.flush()
        return dict(json.loads(self._line(process)))

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            script = Path(__file__).with_name("victim.py")
            self._process = subprocess.Popen(
                [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            assert self._line(self._process) == "ready\n"
        return self._process

    def _line(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], _PATIENCE)
        line = process.stdout.readline() if ready else ""
        if not line:
            self.close()
            pytest.fail("the process hung" if not ready else "the process died")
        return line


@pytest.fixture(scope="session")
def victim(toy_bundle: Path) -> Iterator[Victim]:
    """Warm: its libraries are loaded, so that what is measured is the attack."""
    process = Victim()
    assert process.open(toy_bundle)["kind"] == ""
    yield process
    process.close()


@pytest.fixture
def refused(victim: Victim) -> Callable[[Path], str]:
    """Open a bundle, see it refused by a named error in time and memory, and return the message."""

    def check(bundle: Path) -> str:
        result = victim.open(bundle)
        assert result["kind"] in ("BundleError", "BackendError"), result
        # A busy machine is no attack: what counts is the processor's time, and that it does not hang.
        assert result["cpu_seconds"] < MOST_SECONDS, result
        assert result["seconds"] < 10 * MOST_SECONDS, result
        assert result["megabytes"] < MOST_MEGABYTES, result
        assert str(bundle) in result["message"], result
        return str(result["message"])

    return check


class Forger:
    """A copy of a bundle whose files can be changed with their entries in the manifest made to fit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = json.loads((path / "manifest.json").read_text())

    def save(self) -> Path:
        """Write the manifest as it is now."""
        (self.path / "manifest.json").write_text(json.dumps(self.manifest))
        return self.path

    def graph(self, name: str) -> dict[str, Any]:
        """The entry of a graph."""
        return dict.__getitem__(self.manifest["graphs"]["fp32"], name)

    def put(self, entry: dict[str, Any], data: bytes) -> Path:
        """Write a file with the right size and hash in the manifest."""
        path = self.path / entry["path"]
        path.unlink()
        path.write_bytes(data)
        entry["size"], entry["sha256"] = len(data), hashlib.sha256(data).hexdigest()
        return self.save()


@pytest.fixture
def forger(bundle_copy: Path) -> Forger:
    return Forger(bundle_copy)


@pytest.fixture
def add_engine(forger: Forger) -> Callable[[], Forger]:
    """Give the bundle an engine of its re-ranker that is never loaded here."""

    def add() -> Forger:
        graph = forger.graph("reranker")
        entry: dict[str, Any] = {
            "path": "engines/reranker.engine",
            "precision": "fp32",
            "graph": "reranker",
            "builder": "tensorrt",
            "builder_version": "10.13.2.6",
            "compute_capability": "8.9",
            "gpu": "",
            "compatibility": "none",
            "version_compatible": False,
            "stripped": False,
            "profiles": [
                {"text_tokens": shapes(2, 4), "attention_mask": shapes(2), "image_tokens": shapes(4, 4)}
            ],
            "onnx_sha256": graph["sha256"],
            "verified": True,
        }
        (forger.path / "engines").mkdir()
        (forger.path / entry["path"]).touch()
        forger.manifest["engines"] = [entry]
        forger.put(entry, b"native code")
        return forger

    return add


def shapes(*axes: int) -> dict[str, list[int]]:
    return {"min": [1, *axes], "opt": [1, *axes], "max": [1, *axes]}
