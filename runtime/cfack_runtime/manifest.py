"""What a bundle's manifest says; `docs/bundle.md` specifies it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cfack_runtime.engine import EngineEntry
    from cfack_runtime.scoring import ScoreCalibration

FORMAT = "cfack-bundle"
FORMAT_VERSION = 1

Scalar = bool | int | float | str
Shape = tuple[int | str, ...]
"""An axis is a number, or the name of a size that is free at run time."""


@dataclass(frozen=True)
class TensorSpec:
    """Name, type and shape of one graph input or output."""

    name: str
    dtype: str
    """As NumPy writes it, for example "float32"."""
    shape: Shape


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle."""

    path: str
    """Relative to the bundle's folder, "/" between parts."""
    sha256: str
    size: int
    """In bytes."""


@dataclass(frozen=True)
class GraphEntry:
    """One ONNX file and its signature."""

    file: FileEntry
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Geometry:
    """The sizes that a caller of the graphs has to know."""

    image_height: int
    """H, in pixels."""
    image_width: int
    """W, in pixels."""
    image_token_count: int
    """1 + N: the number of patches and one."""
    image_token_width: int
    """C of image tokens."""
    text_token_width: int
    """C of text tokens."""
    embed_dim: int
    """D."""
    max_tokens: int
    """Largest T, [CLS] and [SEP] included; also the number of words that the caption rules keep."""
    vocab_size: int


@dataclass(frozen=True)
class Preprocessing:
    """Names of the rules that turn a file into pixels and a sentence into words.

    A rule never changes under its name. A reader refuses a name that it does not know.
    """

    image: str = "squash-bicubic-1"
    """`cfack_runtime.images.resize_image`."""
    caption: str = "pre-caption-1"
    """`cfack_runtime.captions.normalize_caption`."""


@dataclass(frozen=True)
class Manifest:
    """One bundle."""

    geometry: Geometry
    tokenizer: FileEntry
    checkpoint_sha256: str
    """Hash of the weights that the bundle was exported from."""
    graphs: Mapping[str, Mapping[str, GraphEntry]]
    """Precision -> graph name -> graph."""
    parity: Mapping[str, Mapping[str, Scalar]]
    """Precision -> what the export measured against PyTorch; "passed" is always there."""
    documents: tuple[FileEntry, ...] = ()
    """Files for people: README.md, parity.json."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    created_by: str = ""
    engines: tuple[EngineEntry, ...] = ()
    """Compiled forms of the graphs, each for one kind of GPU."""
    score_calibration: ScoreCalibration | None = None
    """How match scores become probabilities; None: nobody has fitted it."""

    @property
    def embedding_space(self) -> str:
        """Identity of what makes embeddings comparable; see `embedding_space`."""
        return embedding_space(
            self.checkpoint_sha256, self.tokenizer.sha256, self.geometry, self.preprocessing
        )

    @property
    def passed(self) -> tuple[str, ...]:
        """Precisions that the export found equal to PyTorch, as far as its parity gate asks."""
        return tuple(precision for precision in self.graphs if self.parity[precision]["passed"] is True)


def embedding_space(
    weights_sha256: str, tokenizer_sha256: str, geometry: Geometry, preprocessing: Preprocessing
) -> str:
    """Identify weights, tokenizer and preprocessing: embeddings of one space may be compared.

    The SHA-256 of seven lines of text, so that a program in any language computes the same. Precision is
    left out on purpose: the parity gate holds all precisions of a model to one reference.

    Returns:
        64 hexadecimal digits.
    """
    text = (
        "cfack-embedding-space-1\n"
        f"weights={weights_sha256}\n"
        f"tokenizer={tokenizer_sha256}\n"
        f"image={preprocessing.image}\n"
        f"size={geometry.image_height}x{geometry.image_width}\n"
        f"caption={preprocessing.caption}\n"
        f"max_tokens={geometry.max_tokens}\n"
    )
    return hashlib.sha256(text.encode("ascii")).hexdigest()
