"""What a fresh interpreter loads; import-linter (`make check`) says the rest."""

import json
import pkgutil
import subprocess
import sys

import pytest

import cfack_runtime

HEAVY = {"torch", "torchvision", "timm", "transformers", "onnx", "onnxscript", "scipy", "matplotlib"}


def modules_after(code: str) -> set[str]:
    """Names of the top-level modules that a fresh interpreter holds after running `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_help_loads_neither_torch_nor_onnx_nor_numpy() -> None:
    code = """
from click.testing import CliRunner
from cfack.cli import cli
result = CliRunner().invoke(cli, ["--help"])
assert result.exit_code == 0 and "search" in result.output, result.output
"""
    assert not modules_after(code) & (HEAVY | {"numpy", "onnxruntime", "PIL"})


@pytest.mark.parametrize("command", ["index", "search"])
def test_the_help_of_runtime_commands_loads_no_torch(command: str) -> None:
    code = f"""
from click.testing import CliRunner
from cfack.cli import cli
result = CliRunner().invoke(cli, ["{command}", "--help"])
assert result.exit_code == 0, result.output
"""
    assert not modules_after(code) & HEAVY


def test_every_module_of_the_runtime_can_be_imported_without_torch() -> None:
    names = [info.name for info in pkgutil.walk_packages(cfack_runtime.__path__, "cfack_runtime.")]
    assert "cfack_runtime.retriever" in names
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in sorted(HEAVY))
    imports = "\n".join(f"import {name}" for name in names)
    loaded = modules_after(f"import sys\n{blocked}\n{imports}")
    assert "cfack_runtime" in loaded
