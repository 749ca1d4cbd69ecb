"""Names of files in a folder that somebody else may have written."""

from __future__ import annotations

import re
from pathlib import Path

from cfack_runtime.errors import CfackError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_contained(relative: str) -> bool:
    """Whether a path can only lead below the folder that it is appended to, links aside.

    It is valid unicode without NUL; its parts are joined by "/", and none is empty, "." or "..".
    """
    try:
        relative.encode()
    except UnicodeEncodeError:
        return False
    return not any(part in ("", ".", "..") for part in relative.split("/")) and "\0" not in relative


def contained_file(folder: Path, relative: str, error: type[CfackError]) -> Path:
    """Find a regular file below a folder by its relative path, and refuse every way out of the folder.

    Args:
        folder: an existing folder.
        relative: see `is_contained`; control characters, backslashes and colons are refused too.
        error: what is raised when anything is wrong.

    Returns:
        The path, with symbolic links resolved.

    Raises:
        CfackError: as `error`: the path is not of that form, leads out of the folder through a symbolic
            link, or is no regular file.
    """
    if not is_contained(relative) or _CONTROL.search(relative) or "\\" in relative or ":" in relative:
        raise error(
            f"{folder}: the path {relative[:200]!r} is refused: expected a relative path inside the folder, "
            'with "/" between its parts and neither "." nor ".." among them'
        )
    root = folder.resolve()
    try:
        path = (root / relative).resolve()
        regular = path.is_file()
    except (OSError, RuntimeError) as reason:  # a loop of links, a name too long
        raise error(f"{folder / relative}: cannot be opened: {reason}") from reason
    if not path.is_relative_to(root):
        raise error(f"{folder / relative}: refused, a symbolic link leads out of {folder}")
    if not regular:
        raise error(f"{folder / relative}: no such file")
    return path
