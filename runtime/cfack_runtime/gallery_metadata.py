"""What is known of an image beside its pixels: camera, time, place, whatever the application needs."""

from __future__ import annotations

import math
from collections.abc import Mapping

from cfack_runtime.errors import UsageError
from cfack_runtime.gallery_columns import PATH
from cfack_runtime.manifest import Scalar

Metadata = Mapping[str, Scalar]

_LONGEST_NAME = 100


def check_names(metadata: Metadata, path: str) -> None:
    """Refuse what `images.jsonl` cannot say or a filter could not ask for.

    Args:
        metadata: of one image.
        path: of that image, for the message.

    Raises:
        UsageError: a name is "path", empty or very long, or a value is no finite number, text or boolean.
    """
    for name, value in metadata.items():
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or name == PATH:
            raise UsageError(
                f"{path}: the metadata field {name!r} is refused; a name has 1 to {_LONGEST_NAME} characters "
                f"and is not {PATH!r}, which every image has"
            )
        if not isinstance(value, bool | int | float | str):
            raise UsageError(
                f"{path}: {name} is a {type(value).__name__}; metadata are numbers, text and booleans"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{path}: {name} is {value}; metadata are finite numbers, text and booleans")
