"""One entrance for every released file: which kind it is decides how it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cfack.config import ExperimentConfig
from cfack.modeling.imported import Imported
from cfack.modeling.official import import_official
from cfack.modeling.released.file import read_released_file
from cfack.modeling.x2vlm import import_x2vlm
from cfack_runtime.errors import ConfigError, UsageError


def import_file(
    path: str | Path,
    *,
    given: Mapping[str, Any] | None = None,
    target: ExperimentConfig | None = None,
) -> Imported:
    """Read a released CFACK checkpoint or an X²-VLM pre-training file.

    Args:
        path: the file.
        given: geometry that the file does not hold, as read by `read_geometry_file`.
        target: for an X²-VLM file, the training that will start from it.

    Raises:
        UsageError: a CFACK file with `target`, or a file of unknown kind with neither.
        CheckpointError: the file cannot be read or does not fit.
        ConfigError: `given` is wrong.
    """
    path = Path(path)
    file = read_released_file(path)
    if file.is_cfack and target is not None:
        raise UsageError(
            f"{path} is a CFACK checkpoint: its own configuration decides, leave --preset out. To train it "
            f"at another size: `cfack train --config PRESET --checkpoint {path}`"
        )
    if target is not None:
        return import_x2vlm(file, target, given)
    if file.is_cfack or given:
        return import_official(file, given)
    raise UsageError(
        f"{path} is an X²-VLM pre-training file, or a CFACK state dict without its configuration. Give "
        "--preset, the geometry to start from such as base-384, for X²-VLM; --config FILE.json for CFACK"
    )


def read_geometry_file(path: str | Path) -> dict[str, Any]:
    """Read the JSON of `--config`. Raises ConfigError if it cannot be read or is no table of keys."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not a readable JSON file: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a table of keys, got {type(content).__name__}")
    return content
