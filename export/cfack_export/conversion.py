"""What a stage did to the graphs of a precision, kept beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_NAME = "conversion.json"


def write_conversion(folder: Path, content: Mapping[str, Any]) -> None:
    """Put a report beside the graphs."""
    (folder / _NAME).write_text(json.dumps(content))


def read_conversion(folder: Path) -> dict[str, Any] | None:
    """What was done to the graphs of a folder; None: they are PyTorch's own."""
    path = folder / _NAME
    return json.loads(path.read_text()) if path.is_file() else None
