"""`cfack doctor`: each backend tried, and the one thing to do."""

from __future__ import annotations

import importlib
import json
import sys
from types import ModuleType
from typing import Any

import onnxruntime
import pytest
from click.testing import CliRunner

from cfack.cli import cli
from cfack_runtime.backends import doctor
from cfack_runtime.backends.engine_gpu import Gpu
from cfack_runtime.errors import BackendError


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> tuple[Gpu, ...]:
        raise BackendError("there is no NVIDIA driver here; install the NVIDIA driver, or use the CPU")

    monkeypatch.setattr(doctor, "list_gpus", fail)


def checks(*arguments: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(cli, ["doctor", "--json", *arguments])
    return result.exit_code, {item["name"]: item for item in json.loads(result.output)["checks"]}


@pytest.mark.usefixtures("no_gpu")
def test_a_machine_with_a_cpu_runs_onnx_runtime() -> None:
    code, found = checks()
    assert code == 0
    assert found["onnxruntime cpu"]["runs"] is True
    assert found["onnxruntime cpu"]["version"] == onnxruntime.__version__
    assert found["gpu driver"] == {
        "name": "gpu driver",
        "runs": False,
        "version": "",
        "detail": "there is no NVIDIA driver here",
        "remedy": "install the NVIDIA driver, or use the CPU",
        "backend": False,
    }
    for item in found.values():
        assert item["runs"] is (item["remedy"] == "")


@pytest.mark.usefixtures("no_gpu")
def test_tensorrt_rtx_builds_where_it_cannot_run() -> None:
    _, found = checks()
    rtx = found["tensorrt-rtx"]
    assert rtx["version"] == importlib.import_module("tensorrt_rtx_bindings").__version__
    assert "8.9" in rtx["detail"]
    assert "without a GPU; cannot run: there is no NVIDIA driver" in rtx["detail"]
    assert rtx["remedy"] == "install the NVIDIA driver, or use the CPU"


@pytest.mark.usefixtures("no_gpu")
def test_what_is_not_installed_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnxruntime", "tensorrt", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    code, found = checks()
    assert code == 1
    assert found["onnxruntime cpu"]["remedy"] == "pip install 'cfack[cpu]'"
    assert found["onnxruntime cuda"]["remedy"] == "pip install 'cfack[gpu]'"
    assert found["tensorrt"]["remedy"] == "pip install 'cfack[tensorrt]'"
    assert found["tensorrt-rtx"]["remedy"] == "pip install 'cfack[tensorrt-rtx]'"


@pytest.mark.parametrize(
    ("providers", "installed", "detail", "remedy"),
    [
        (
            ["CUDAExecutionProvider"],
            ["onnxruntime-gpu"],
            "fell back to CPUExecutionProvider",
            "CUDA and cuDNN",
        ),
        ([], ["onnxruntime"], "this build has no CUDAExecutionProvider", "pip install 'cfack[gpu]'"),
        ([], ["onnxruntime", "onnxruntime-gpu"], "overwrite each other", "pip uninstall -y onnxruntime onnx"),
    ],
)
def test_cuda_is_believed_only_when_a_session_has_it(
    monkeypatch: pytest.MonkeyPatch, providers: list[str], installed: list[str], detail: str, remedy: str
) -> None:
    class Session:
        def __init__(self, graph: bytes, options: object, providers: list[str]) -> None:
            pass

        def run(self, names: None, feed: dict[str, Any]) -> list[Any]:
            return [feed["x"]]

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    module: Any = ModuleType("onnxruntime")
    module.__version__, module.InferenceSession = "1.27.0", Session
    module.SessionOptions = type("SessionOptions", (), {})
    module.set_default_logger_severity = lambda level: None
    module.get_available_providers = lambda: [*providers, "CPUExecutionProvider"]
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    monkeypatch.setattr(doctor, "list_gpus", lambda: (Gpu(0, "NVIDIA L4", "8.9", "13.0"),))
    monkeypatch.setattr(doctor, "_installed", lambda name: "1.27.0" if name in installed else "")
    _, found = checks()
    assert detail in found["onnxruntime cuda"]["detail"]
    assert remedy in found["onnxruntime cuda"]["remedy"]
    assert found["gpu driver"]["detail"] == "0: NVIDIA L4, compute capability 8.9"
    assert found["gpu driver"]["version"] == "CUDA 13.0"


def test_lines_fit_a_terminal() -> None:
    result = CliRunner().invoke(cli, ["doctor"])
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("cfack ")
    assert sum(line.startswith(("yes ", "no  ")) for line in lines) == 6
