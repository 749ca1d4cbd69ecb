"""What `gallery.json` and `images.jsonl` say; `docs/gallery.md` specifies both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cfack_runtime.contained import is_contained
from cfack_runtime.errors import GalleryError
from cfack_runtime.gallery_layout import IMAGES, Layout, find_layout
from cfack_runtime.manifest import FileEntry, Scalar
from cfack_runtime.strict_json import Fields, dump_json, parse_object, read_object

FORMAT = "cfack-gallery"
FORMAT_VERSION = 1
INDEX_NAME = "gallery.json"
SEGMENTS = "segments"
LARGEST_INDEX = 256 << 20
"""In bytes; a million images take about 400 kB, and each removed one up to 5 bytes more."""

_SEGMENT_NAME = r"[0-9]{6,12}-[0-9a-f]{8}"
_MOST_IMAGES = 1 << 32
_LARGEST_FILE = 1 << 44


@dataclass(frozen=True)
class TokenShape:
    """Shape of one image's tokens."""

    count: int
    """1 + N."""
    width: int
    """C."""


@dataclass(frozen=True)
class Identity:
    """What all images of a gallery have in common."""

    embedding_space: str
    embed_dim: int
    image_tokens: TokenShape | None
    """None: embeddings only, no re-ranking."""
    bundle: str
    """Path of the bundle that encoded the images, absolute."""
    root: str
    """Folder that image paths are relative to, absolute."""


@dataclass(frozen=True)
class Segment:
    """One folder of images that were added together; its files never change."""

    name: str
    images: int
    """Number of rows, removed ones included."""
    precision: str
    """Precision that encoded them."""
    files: tuple[FileEntry, ...]
    layout: Layout
    """How the files keep the numbers."""
    removed: tuple[int, ...] = ()
    """Rows that no longer count, ascending."""

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(entry.size for entry in self.files)


@dataclass(frozen=True)
class GalleryIndex:
    """The content of `gallery.json`."""

    identity: Identity
    segments: tuple[Segment, ...] = ()


@dataclass(frozen=True, slots=True)
class GalleryImage:
    """One image of a gallery, told apart by its path."""

    path: str
    """Relative to the gallery's root, "/" between parts."""
    size: int
    """Of the file, in bytes, when it was encoded."""
    mtime_ns: int
    """Of the file: last change, in nanoseconds since 1970, when it was encoded."""
    metadata: Mapping[str, Scalar]


def read_index(folder: Path) -> GalleryIndex:
    """Read `gallery.json` and check that it is consistent; the segments are not looked at.

    Raises:
        GalleryError: it is missing, malformed or contradictory.
    """
    top = read_object(folder / INDEX_NAME, LARGEST_INDEX, GalleryError)
    name, version = top.text("format"), top.integer("format_version", 0, 1 << 31)
    if name != FORMAT:
        raise GalleryError(f"{top.where}: format is {name[:80]!r}, expected {FORMAT!r}; this is no gallery")
    if version != FORMAT_VERSION:
        raise GalleryError(
            f"{top.where}: format version {version}, but this is a reader of version {FORMAT_VERSION}; "
            "index the images again, or install the CFACK that wrote the gallery"
        )
    identity = Identity(
        embedding_space=top.sha256("embedding_space"),
        embed_dim=top.integer("embed_dim", 1, 1 << 16),
        image_tokens=_token_shape(top.object("image_tokens")) if top.optional("image_tokens") else None,
        bundle=top.text("bundle"),
        root=top.text("root"),
    )
    segments = tuple(_segment(entry, identity) for entry in top.objects("segments"))
    if len({segment.name for segment in segments}) != len(segments):
        raise GalleryError(f"{top.where}: a segment is listed twice")
    return GalleryIndex(identity, segments)


def index_bytes(index: GalleryIndex) -> bytes:
    """Write the content of `gallery.json`."""
    return dump_json(
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            **asdict(index.identity),
            "segments": [
                {
                    "name": segment.name,
                    "images": segment.images,
                    "precision": segment.precision,
                    "files": [asdict(entry) for entry in segment.files],
                    "removed": list(segment.removed),
                }
                for segment in index.segments
            ],
        }
    )


def without_rows(segment: Segment, rows: Iterable[int]) -> Segment:
    """Mark rows of a segment as removed."""
    return replace(segment, removed=tuple(sorted({*segment.removed, *rows})))


def image_line(image: GalleryImage) -> bytes:
    """Write one line of `images.jsonl`."""
    members = {
        "path": image.path,
        "size": image.size,
        "mtime_ns": image.mtime_ns,
        "metadata": dict(image.metadata),
    }
    return (json.dumps(members, allow_nan=False) + "\n").encode("ascii")


def parse_image(line: bytes, where: str) -> GalleryImage:
    """Read one line of `images.jsonl`, without its line feed.

    Raises:
        GalleryError: it is malformed; the message begins with `where`.
    """
    fields = parse_object(line, where, GalleryError)
    path = fields.text("path")
    if not is_contained(path):
        raise GalleryError(f"{where}: path {path[:200]!r} is no relative path inside the gallery's root")
    size = fields.integer("size", 0, _LARGEST_FILE)
    mtime_ns = fields.integer("mtime_ns", -(1 << 63), (1 << 63) - 1)
    return GalleryImage(path, size, mtime_ns, check_metadata(fields.object("metadata")))


def parse_metadata(data: bytes, where: str) -> Mapping[str, Scalar]:
    """Read the metadata of one line, an object by itself.

    Raises:
        GalleryError: it is malformed; the message begins with `where`.
    """
    return check_metadata(parse_object(data, where, GalleryError))


def check_metadata(metadata: Fields) -> Mapping[str, Scalar]:
    """The members of a metadata object, none of which is an object, a list or null."""
    for name, value in metadata.values.items():
        if not isinstance(value, bool | int | float | str):
            raise metadata.error(f"{metadata.where}: {name[:80]} is no number, string or boolean")
    return metadata.values


def _token_shape(tokens: Fields) -> TokenShape:
    return TokenShape(tokens.integer("count", 2, 1 << 20), tokens.integer("width", 1, 1 << 16))


def _segment(entry: Fields, identity: Identity) -> Segment:
    name = entry.text("name", _SEGMENT_NAME)
    images = entry.integer("images", 1, _MOST_IMAGES)
    removed: list[Any] = entry.list("removed")
    if any(type(row) is not int or not 0 <= row < images for row in removed) or removed != sorted(
        set(removed)
    ):
        raise GalleryError(f"{entry.where}: removed must be ascending rows below {images}")
    files = {file.text("path"): file for file in entry.objects("files")}
    layout = find_layout(files, identity)
    if layout is None:
        raise GalleryError(f"{entry.where}: files are {sorted(files)}, expected {_expected_files(identity)}")
    for rows in layout.files(identity):
        size = images * rows.row_bytes
        if files[rows.name].integer("size", 1, _LARGEST_FILE) != size:
            raise GalleryError(f"{entry.where}: {rows.name} must have {size} bytes for {images} images")
    entries = tuple(
        FileEntry(path, file.sha256("sha256"), file.integer("size", 1, _LARGEST_FILE))
        for path, file in files.items()
    )
    return Segment(name, images, entry.text("precision"), entries, layout, tuple(removed))


def _expected_files(identity: Identity) -> str:
    tokens = ", and tokens.f16 or tokens.i8 with tokens.scale" if identity.image_tokens else ""
    return f"{IMAGES}, embeddings.f32 or embeddings.f16{tokens}"
