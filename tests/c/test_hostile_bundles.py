"""The hostile bundles of `tests/runtime/hostile`, all of them, opened by libcfack: the same refusals."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

_HOSTILE = Path(__file__).parents[1] / "runtime" / "hostile"


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"hostile_{name}", _HOSTILE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_tools = _module("conftest")
refused, forger, add_engine = _tools.refused, _tools.forger, _tools.add_engine
_files, _json, _onnx = (_module(name) for name in ("test_files", "test_json", "test_onnx"))
# JSON that is no Unicode is refused as such here, and where its text is used by Python.
_files.PATHS = tuple(path for path in _files.PATHS if path != "\ud800")
del _json.TEXTS["lone surrogate"]
for _tests in (_files, _json, _onnx):
    globals().update({name: value for name, value in vars(_tests).items() if name.startswith("test_")})


def test_half_a_character_is_no_json(refused: Any, forger: Any) -> None:
    forger.manifest["created_by"] = "\ud800"
    assert "not valid JSON: " in refused(forger.save())


class _Victim(_tools.Victim):  # type: ignore[name-defined, misc]
    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            script = Path(__file__).with_name("hostile_victim.py")
            pipe = subprocess.PIPE
            self._process = subprocess.Popen([sys.executable, script], stdin=pipe, stdout=pipe, text=True)
            assert self._line(self._process) == "ready\n"
        process: subprocess.Popen[str] = self._process
        return process


@pytest.fixture(scope="session")
def victim(toy_bundle: Path) -> Iterator[Any]:
    """Warm, as in Python."""
    process = _Victim()
    assert process.open(toy_bundle)["kind"] == ""
    yield process
    process.close()
