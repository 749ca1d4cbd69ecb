"""Which files of numbers a segment has, and what one image takes in each; `docs/gallery.md` specifies it.

Shapes: N patches, C token width, D embedding.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cfack_runtime.gallery_index import Identity

IMAGES = "images.jsonl"
EMBEDDING_KINDS = ("fp32", "fp16")
TOKEN_KINDS = ("fp16", "int8")


@dataclass(frozen=True)
class RowFile:
    """A file of rows without header or padding, one row an image."""

    name: str
    dtype: str
    """As NumPy writes it, little-endian."""
    shape: tuple[int, ...]
    """Of one row."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Layout:
    """How a segment keeps its numbers."""

    embeddings: str
    """One of `EMBEDDING_KINDS`."""
    tokens: str | None
    """One of `TOKEN_KINDS`; None: there are none."""

    def files(self, identity: Identity) -> tuple[RowFile, ...]:
        """The files of rows, embeddings first."""
        names = {"fp32": ("embeddings.f32", "<f4"), "fp16": ("embeddings.f16", "<f2")}
        found = [RowFile(*names[self.embeddings], (identity.embed_dim,))]
        shape = identity.image_tokens
        if shape is not None and self.tokens == "fp16":
            found.append(RowFile("tokens.f16", "<f2", (shape.count, shape.width)))
        if shape is not None and self.tokens == "int8":
            found.append(RowFile("tokens.i8", "|i1", (shape.count, shape.width)))
            found.append(RowFile("tokens.scale", "<f4", (shape.count,)))
        return tuple(found)


def find_layout(names: Iterable[str], identity: Identity) -> Layout | None:
    """The layout that has exactly these files beside `images.jsonl`; None: there is no such layout."""
    names = set(names)
    for embeddings in EMBEDDING_KINDS:
        for tokens in TOKEN_KINDS if identity.image_tokens else (None,):
            layout = Layout(embeddings, tokens)
            if names == {IMAGES, *(file.name for file in layout.files(identity))}:
                return layout
    return None
