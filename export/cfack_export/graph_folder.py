"""The ONNX files of one precision, between the stage that makes them and the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cfack_export.parity.limits import FP16, FP32, INT8, INT8_CPU
from cfack_runtime.files import sha256_file

TOKEN_TYPES: Mapping[str, str] = {FP32: "float32", FP16: "float16", INT8: "float16", INT8_CPU: "float32"}
"""Precision -> type of text and image tokens in its graphs; static INT8 is made of the FP16 graphs."""


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

    @property
    def files(self) -> dict[str, Path]:
        """Graph name -> where it lies."""
        return {name: self.file(name) for name in self.sha256}

    def file(self, name: str) -> Path:
        """Where a graph lies."""
        return self.path / f"{name}.onnx"
