"""Metadata of many images from a CSV or JSON-lines file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.gallery_columns import PATH
from cfack_runtime.gallery_index import check_metadata
from cfack_runtime.gallery_metadata import Metadata, check_names
from cfack_runtime.manifest import Scalar
from cfack_runtime.strict_json import Fields, parse_object

_SUFFIXES = (".csv", ".jsonl")
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}")


def read_metadata_file(path: str | Path) -> dict[str, Metadata]:
    """Read what is known of images.

    A CSV file begins with a line of names, one of which is `path`. Its cells become numbers where they look
    like one (`12`, `-1.5`, but not `007`), booleans where they say true or false, else text; an empty cell
    says nothing. A line of a JSON-lines file is an object with the member `path`.

    Args:
        path: the file, in UTF-8; it ends in .csv or .jsonl.

    Returns:
        Path of an image, relative to the indexed folder -> its metadata.

    Raises:
        DataError: the file cannot be read, or a line is wrong; the message names it.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(f"{path}: metadata are read from files that end in {' or '.join(_SUFFIXES)}")
    rows = _csv_rows if path.suffix.lower() == ".csv" else _json_rows
    found: dict[str, Metadata] = {}
    try:
        for where, image, fields in rows(path):
            if image in found:
                raise DataError(f"{where}: {image!r} occurs twice")
            try:
                check_names(fields, image)
            except UsageError as error:
                raise DataError(f"{where}: {error}") from error
            found[image] = fields
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8: {error}") from error
    except csv.Error as error:
        raise DataError(f"{path}: is no CSV: {error}") from error
    return found


def _csv_rows(path: Path) -> Iterator[tuple[str, str, Metadata]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        names = next(reader, [])
        if names.count(PATH) != 1 or len(set(names)) != len(names):
            raise DataError(
                f"{path}: its first line names the columns {names}; expected one called {PATH!r}, "
                "and none twice"
            )
        for cells in reader:
            if not cells:
                continue
            where = f"{path}, line {reader.line_num}"
            if len(cells) != len(names):
                raise DataError(f"{where}: {len(cells)} cells, but {len(names)} columns are named")
            row = dict(zip(names, cells, strict=True))
            image = row.pop(PATH)
            yield where, image, {name: _scalar(cell) for name, cell in row.items() if cell}


def _json_rows(path: Path) -> Iterator[tuple[str, str, Metadata]]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            where = f"{path}, line {number}"
            if not line.strip():
                continue
            fields = parse_object(line, where, DataError)
            image = fields.text(PATH)
            rest = {name: value for name, value in fields.values.items() if name != PATH}
            yield where, image, check_metadata(Fields(rest, where, DataError))


def _scalar(cell: str) -> Scalar:
    if cell in ("true", "false"):
        return cell == "true"
    if _WHOLE.fullmatch(cell):
        return int(cell)
    return float(cell) if _DECIMAL.fullmatch(cell) else cell
