"""Without the training packages each command that needs them says so in one line."""

import subprocess
import sys

import pytest

ARGUMENTS = {
    "train": ["--config", "tiny", "--output-dir", "x", "--data", "y"],
    "evaluate": ["x", "--data", "y"],
    "export": ["x", "--out", "y"],
    "import": ["x.th", "--out", "y"],
    "quickstart": ["--out", "x"],
}


@pytest.mark.parametrize("command", ARGUMENTS)
def test_a_command_without_torch_names_the_extra(command: str) -> None:
    block = "".join(f"sys.modules[{name!r}] = None\n" for name in ("torch", "timm", "transformers"))
    code = f"import sys\n{block}sys.argv = {['cfack', command, *ARGUMENTS[command]]!r}\n"
    code += "from cfack.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: this command needs ")
    assert "pip install 'cfack[train]'" in done.stderr
    assert "Traceback" not in done.stderr
