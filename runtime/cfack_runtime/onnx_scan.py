"""Find what an ONNX file must not hold, without reading its weights: references to other files.

An ONNX tensor may say that its values lie in another file, at a path, an offset and a length of its
choosing. Whoever loads such a graph opens that path. A bundle's graphs hold all of their weights, so one
that does not is refused by name before ONNX Runtime or TensorRT sees it.

ONNX is Protocol Buffers: a message is a run of fields, each a number, a wire type and a value, and a value
that is a message again has its length in front. The walk goes into the messages through which a tensor
can be reached and jumps over everything else, so that a gigabyte of weights costs a few reads. Field
numbers are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cfack_runtime.errors import BundleError, CfackError

MOST_FIELDS = 100_000
"""A base-size graph in FP32 has 4,300, and walking that many takes 20 ms."""
MOST_NESTED = 32
_WINDOW = 1 << 16
_LONGEST_VARINT = 10

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TENSOR = "TensorProto"
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14

# Message -> field number -> message. Only ways that lead to a tensor.
_CHILDREN: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: _TENSOR, 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: _TENSOR,
        6: "GraphProto",
        10: _TENSOR,
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {},
}
_NODE_TYPE = 4
_GRAPH_NODE = ("GraphProto", 1)


@dataclass(frozen=True)
class _Field:
    message: str
    number: int
    wire: int
    value: int
    """Of a number; for bytes, where they begin."""
    end: int
    """Where the field ends."""


def require_self_contained(path: Path, error: type[CfackError] = BundleError) -> None:
    """Refuse an ONNX file whose tensors lie in other files, or that is no ONNX file at all.

    Memory is bounded by a window of 64 KiB, time by the number of fields.

    Args:
        path: the file.
        error: what is raised.

    Raises:
        CfackError: as `error`: it refers to other files, is malformed, or nested or split beyond reason.
    """
    for field in _walk(path, error):
        external = field.number == _EXTERNAL_DATA or (field.number == _DATA_LOCATION and field.value != 0)
        if field.message == _TENSOR and external:
            raise error(
                f"{path}: a tensor's values are said to lie in another file (external data); a graph of a "
                "bundle holds all of its weights, so this one is not loaded; export again"
            )


def count_operators(path: Path) -> dict[str, int]:
    """Operator -> number of nodes, of the main graph and those inside its nodes; most frequent first.

    Raises:
        BundleError: as `require_self_contained` for a malformed file.
    """
    counts: dict[str, int] = {}
    with path.open("rb") as stream:
        for field in _walk(path, BundleError):
            if (field.message, field.number) == ("NodeProto", _NODE_TYPE) and field.wire == _BYTES:
                stream.seek(field.value)
                name = stream.read(min(field.end - field.value, 80)).decode(errors="replace")
                counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _walk(path: Path, error: type[CfackError]) -> Iterator[_Field]:
    """Every field of every message of `_CHILDREN`, in the order of the file."""
    try:
        with path.open("rb") as stream:
            yield from _Walk(path, stream, error).fields()
    except OSError as reason:
        raise error(f"{path}: cannot be read: {reason.strerror}") from reason


class _Walk:
    """One walk; it keeps the part of the file around the field that it reads."""

    def __init__(self, path: Path, stream: BinaryIO, error: type[CfackError]) -> None:
        self._path, self._stream, self._error = path, stream, error
        self._size = path.stat().st_size
        self._window, self._base = b"", 0

    def fields(self) -> Iterator[_Field]:
        open_messages = [("ModelProto", self._size)]
        position, count = 0, 0
        while open_messages:
            message, end = open_messages[-1]
            if position == end:
                open_messages.pop()
                continue
            count += 1
            if count > MOST_FIELDS:
                raise self._malformed(position, f"more than {MOST_FIELDS} fields")
            field = self._field(message, position, end)
            yield field
            child = _CHILDREN[message].get(field.number)
            if child is not None and field.wire == _BYTES:
                if len(open_messages) == MOST_NESTED:
                    raise self._malformed(position, f"more than {MOST_NESTED} messages inside one another")
                open_messages.append((child, field.end))
                position = field.value
            else:
                position = field.end

    def _field(self, message: str, position: int, end: int) -> _Field:
        key, after = self._varint(position, end)
        number, wire = key >> 3, key & 7
        value = after
        if wire == _VARINT:
            value, after = self._varint(after, end)
        elif wire == _BYTES:
            length, value = self._varint(after, end)
            after = value + length
        elif wire in (_FIXED32, _FIXED64):
            after += 4 if wire == _FIXED32 else 8
        else:
            raise self._malformed(position, f"wire type {wire}")
        if number == 0 or after > end:
            raise self._malformed(position, "a field that reaches beyond its message")
        return _Field(message, number, wire, value, after)

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = 0
        for place in range(_LONGEST_VARINT):
            if position >= end:
                raise self._malformed(position, "a number that does not end")
            byte = self._byte(position)
            position += 1
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value, position
        raise self._malformed(position, "a number that does not end")

    def _byte(self, position: int) -> int:
        offset = position - self._base
        if not 0 <= offset < len(self._window):
            self._stream.seek(position)
            self._window, self._base, offset = self._stream.read(_WINDOW), position, 0
            if not self._window:  # shorter than it was a moment ago
                raise self._malformed(position, "the end of the file")
        return self._window[offset]

    def _malformed(self, position: int, what: str) -> CfackError:
        return self._error(
            f"{self._path}: no valid ONNX file: {what} at byte {position}; it is not loaded, export again"
        )
