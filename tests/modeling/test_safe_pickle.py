import argparse
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cfack.modeling import safe_pickle
from cfack_runtime.errors import CheckpointError


class CallsSystem:
    """Pickled, it asks whoever loads it to run a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def write_raw(content: Any, path: Path, protocol: int) -> None:
    path.write_bytes(pickle.dumps(content, protocol=protocol))


def write_legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "torch": torch.save,
    "torch, legacy": write_legacy,
    "torch, protocol 4": lambda content, path: torch.save(content, path, pickle_protocol=4),
    "pickle 2": lambda content, path: write_raw(content, path, 2),
    "pickle 5": lambda content, path: write_raw(content, path, 5),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_pickle_that_wants_to_run_code_is_refused_by_name_and_not_run(writer: str, tmp_path: Path) -> None:
    path, witness = tmp_path / "evil.th", tmp_path / "witness"
    WRITERS[writer]({"model": {}, "extra": CallsSystem(f"touch {witness}")}, path)
    with pytest.raises(
        CheckpointError, match=r"evil\.th was refused: loading it would call (posix|nt)\.system"
    ):
        safe_pickle.load(path)
    assert not witness.exists()


def test_an_object_of_a_strange_class_is_refused_by_name(tmp_path: Path) -> None:
    torch.save({"config": Path("configs")}, tmp_path / "a.th")
    with pytest.raises(CheckpointError, match=r"would call pathlib\.[\w.]*PosixPath"):
        safe_pickle.load(tmp_path / "a.th")


@pytest.mark.parametrize("legacy", [True, False])
def test_both_formats_of_torch_load(legacy: bool, tmp_path: Path) -> None:
    content = {"model": {"w": torch.arange(3.0)}, "config": {"a": [1, "b", None, 0.5, True]}}
    torch.save(content, tmp_path / "a.th", _use_new_zipfile_serialization=not legacy)
    loaded = safe_pickle.load(tmp_path / "a.th")
    assert torch.equal(loaded["model"]["w"], torch.arange(3.0))
    assert loaded["config"] == content["config"]


def test_what_training_scripts_leave_in_a_checkpoint_is_read(tmp_path: Path) -> None:
    content = {"args": argparse.Namespace(lr=1e-5), "best": np.float64(61.5), "epoch": np.int64(3)}
    torch.save(content, tmp_path / "a.th")
    assert safe_pickle.load(tmp_path / "a.th") == content


@pytest.mark.parametrize("keep", [0, 2, 700, -10])
@pytest.mark.parametrize("legacy", [True, False])
def test_a_truncated_file_is_named_with_its_size(keep: int, legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "cut.th"
    torch.save({"w": torch.zeros(2000)}, path, _use_new_zipfile_serialization=not legacy)
    path.write_bytes(path.read_bytes()[:keep])
    size = f"{path.stat().st_size:,}"
    with pytest.raises(
        CheckpointError, match=rf"cut\.th \({size} bytes\) is truncated or not a PyTorch checkpoint"
    ):
        safe_pickle.load(path)


def test_a_download_page_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "a.th").write_text("<!DOCTYPE html><html>Quota exceeded</html>")
    with pytest.raises(CheckpointError, match="not a PyTorch checkpoint.*\n.*download it again"):
        safe_pickle.load(tmp_path / "a.th")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint file .*absent\.th$"):
        safe_pickle.load(tmp_path / "absent.th")
    with pytest.raises(CheckpointError, match="it is a folder"):
        safe_pickle.load(tmp_path)
