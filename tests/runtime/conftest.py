"""Bundles of the toy model other than the plain one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def other_bundle(write_toy: Callable[..., Path], tmp_path: Path) -> Path:
    """The same graphs, said to be from another checkpoint."""
    return write_toy(tmp_path / "other.cfack", checkpoint_sha256="f" * 64)


@pytest.fixture
def three_precisions(write_toy: Callable[..., Path], toy_graphs: Path, tmp_path: Path) -> Path:
    """The same graphs under three names."""
    graphs = dict.fromkeys(("fp16", "fp32", "int8-cpu"), toy_graphs)
    return write_toy(tmp_path / "three.cfack", graphs=graphs)
