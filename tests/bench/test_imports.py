import json
import subprocess
import sys

HEAVY = {"torch", "timm", "transformers", "onnx", "matplotlib", "onnxruntime"}


def loaded_by(code: str) -> set[str]:
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_measuring_loads_torch_only_in_the_process_that_times_it() -> None:
    modules = ("run", "compare", "worker", "tasks", "engines", "report.terminal", "report.html")
    code = "\n".join(f"import cfack_bench.{name}" for name in modules)

    assert not loaded_by(code) & HEAVY


def test_importing_the_package_loads_nothing() -> None:
    assert "numpy" not in loaded_by("import cfack_bench")
