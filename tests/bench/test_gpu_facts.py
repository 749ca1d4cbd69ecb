"""What nvidia-smi is asked and how its answer is read, against a script in its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cfack_bench.gpu import DeviceMemory, describe_gpu, gpu_state, used_bytes


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a script first on the path; it prints what it is given, and keeps its arguments in a file."""

    def install(printed: str) -> Path:
        script = tmp_path / "nvidia-smi"
        script.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nprintf "%s\\n" "{printed}"\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return tmp_path / "asked"

    return install


def test_the_facts_of_a_gpu_have_their_names(nvidia_smi: Callable[[str], Path]) -> None:
    asked = nvidia_smi("NVIDIA L4, 580.65, 8.9, 23034, 72.00, 2040, Enabled, N/A")

    found = describe_gpu("cuda:2")

    assert found is not None
    assert (found["name"], found["driver"], found["compute_capability"]) == ("NVIDIA L4", "580.65", "8.9")
    assert "--id=2 --query-gpu=name,driver_version" in asked.read_text()


def test_a_device_of_cuda_is_found_among_those_that_may_be_seen(
    nvidia_smi: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = nvidia_smi("812")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-abc")

    assert used_bytes("cuda:1") == 812 << 20
    assert "--id=GPU-abc" in asked.read_text()


def test_an_answer_of_another_form_is_no_answer(nvidia_smi: Callable[[str], Path]) -> None:
    nvidia_smi("No devices were found")

    assert (describe_gpu("cuda"), gpu_state("cuda"), used_bytes("cuda")) == (None, None, None)
    assert describe_gpu("cpu") is None


def test_memory_that_grows_in_a_turn_belongs_to_whose_turn_it_is(nvidia_smi: Callable[[str], Path]) -> None:
    mine = DeviceMemory("cuda")

    def turn(before: int, after: int) -> int | None:
        nvidia_smi(str(before))
        mine.begin()
        nvidia_smi(str(after))
        return mine.end()

    assert turn(100, 600) == 500 << 20
    assert turn(900, 950) == 550 << 20  # somebody else's 300 came between the turns
    assert turn(950, 950) == 550 << 20


def test_memory_is_unknown_where_nothing_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    memory = DeviceMemory("cuda")

    memory.begin()

    assert memory.end() is None
