"""The built wheel holds what it should, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names of the files in a freshly built wheel."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built).namelist()


def test_it_installs_the_four_packages_and_no_other(wheel: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel if ".dist-info" not in name}
    assert tops == {"cfack", "cfack_export", "cfack_runtime", "cfack_bench"}


def test_it_holds_every_python_file_of_the_packages(wheel: list[str]) -> None:
    roots = [ROOT / "cfack", ROOT / "export/cfack_export", ROOT / "runtime/cfack_runtime"]
    roots.append(ROOT / "benchmarks/cfack_bench")
    expected = {str(path.relative_to(root.parent)) for root in roots for path in root.rglob("*.py")}
    assert expected == {name for name in wheel if name.endswith(".py")}


def test_it_holds_every_preset_every_suite_and_the_licence(wheel: list[str]) -> None:
    presets = {f"cfack/config/presets/{path.name}" for path in (ROOT / "cfack/config/presets").iterdir()}
    suites = {f"cfack_bench/suites/{path.name}" for path in (ROOT / "benchmarks/suites").iterdir()}
    assert len(presets) >= 4
    assert len(suites) >= 3
    assert presets | suites <= set(wheel)
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


def test_type_checkers_are_told_that_the_packages_are_typed(wheel: list[str]) -> None:
    packages = ("cfack", "cfack_export", "cfack_runtime", "cfack_bench")
    assert {f"{package}/py.typed" for package in packages} <= set(wheel)
