"""The ONNX files of one precision, between the stage that makes them and the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cfack_runtime.files import sha256_file


@dataclass(frozen=True)
class GraphFolder:
    """A folder of finished files. Made by `GraphFolder.of`, which hashes each of them once."""

    path: Path
    sha256: Mapping[str, str]
    """Graph name -> hash of NAME.onnx."""

    @classmethod
    def of(cls, path: Path) -> GraphFolder:
        """Hash the files of a folder."""
        return cls(path, {file.stem: sha256_file(file) for file in sorted(path.glob("*.onnx"))})

    def file(self, name: str) -> Path:
        """Where a graph lies."""
        return self.path / f"{name}.onnx"
