"""Images that an application has in memory, one after the other, into a gallery.

    with GalleryAppender("gallery", bundle, encoder, "fp32", root="/cameras") as frames:
        for time, frame in camera:
            frames.add(frame, f"east/{time}.jpg", {"camera": "east", "time": time})

Shapes: H, W pixels.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cfack_runtime.bundle import Bundle
from cfack_runtime.contained import is_contained
from cfack_runtime.encoders import IMAGE_BATCH, ImageEncoder
from cfack_runtime.errors import UsageError
from cfack_runtime.gallery_identity import NO_TOKENS, bundle_identity, token_kind
from cfack_runtime.gallery_index import INDEX_NAME, GalleryImage, read_index
from cfack_runtime.gallery_metadata import Metadata, check_names
from cfack_runtime.gallery_writer import GalleryWriter
from cfack_runtime.images import decode_image, resize_image


class GalleryAppender:
    """Encodes images as they come and commits them; readers see them after `Gallery.refresh`.

    It is the gallery's one writer as long as it is open. Use it from one thread, in a `with` block, whose end
    commits what is left.

    Args:
        out: the gallery's folder; made if it is not there.
        bundle: what encodes.
        encoder: its image encoder.
        precision: the precision of that encoder.
        root: what paths are relative to; None: as the gallery has it, or its own folder if it is new.
        tokens: see `index_images`.
        embeddings: see `index_images`.
        allow_unmeasured: see `index_images`.
        batch_size: images encoded at a time: so many wait in memory.
        commit_images: images after which they are committed ...
        commit_seconds: ... or seconds since the last commit, looked at whenever one is added.

    Raises:
        EmbeddingSpaceError: the gallery belongs to another model.
        GalleryError: the gallery is damaged, of another root, or another process is writing.
        UsageError: an argument is out of range.
    """

    def __init__(
        self,
        out: str | Path,
        bundle: Bundle,
        encoder: ImageEncoder,
        precision: str,
        *,
        root: str | Path | None = None,
        tokens: bool | str | None = None,
        embeddings: str | None = None,
        allow_unmeasured: bool = False,
        batch_size: int = IMAGE_BATCH,
        commit_images: int = 1024,
        commit_seconds: float = 60.0,
    ) -> None:
        if batch_size < 1 or commit_images < 1:
            raise UsageError(
                f"batch_size and commit_images must be at least 1, got {batch_size} and {commit_images}"
            )
        kind = token_kind(out, bundle, precision, tokens, allow_unmeasured=allow_unmeasured)
        self._encoder, self._batch_size = encoder, batch_size
        self._commit_images, self._commit_seconds = commit_images, commit_seconds
        self._keep_tokens = kind != NO_TOKENS
        self._waiting: dict[str, tuple[GalleryImage, NDArray[np.uint8]]] = {}
        self._last_commit = time.perf_counter()
        identity = bundle_identity(bundle, _root(Path(out), root), with_tokens=self._keep_tokens)
        stored = kind if self._keep_tokens else None
        self.writer = GalleryWriter(out, identity, precision, embeddings=embeddings, tokens=stored)

    def __enter__(self) -> GalleryAppender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(
        self,
        image: NDArray[np.uint8] | Image.Image | str | Path | bytes,
        path: str,
        metadata: Metadata | None = None,
    ) -> None:
        """Take an image; it is part of the gallery after the next commit.

        Args:
            image: RGB pixels (height, width, 3) uint8 of any size, an RGB `PIL.Image`, or what
                `decode_image` takes.
            path: what the image is called; one of that name is replaced. Parts are joined by "/".
            metadata: what is known of it.

        Raises:
            ImageError: a file cannot be decoded. Nothing else is lost.
            UsageError: pixels, path or metadata are not so.
            GalleryError: the disk does not take it; what was added since the last commit is lost.
        """
        metadata = dict(metadata or {})
        if not is_contained(path):
            raise UsageError(f"path {path!r} is no relative path inside the root")
        check_names(metadata, path)
        geometry = self._encoder.geometry
        pixels = resize_image(_as_image(image), geometry.image_height, geometry.image_width)
        self._waiting[path] = GalleryImage(path, 0, time.time_ns(), metadata), pixels
        if len(self._waiting) >= self._batch_size:
            self._encode()
        late = time.perf_counter() - self._last_commit > self._commit_seconds
        if late or self.writer.pending + len(self._waiting) >= self._commit_images:
            self.flush()

    def flush(self) -> None:
        """Commit what was added."""
        self._encode()
        self.writer.commit()
        self._last_commit = time.perf_counter()

    def close(self) -> None:
        """Commit, and let others write; a second time does nothing."""
        try:
            self._encode()
        finally:
            self.writer.__exit__(None, None, None)

    def _encode(self) -> None:
        waiting, self._waiting = list(self._waiting.values()), {}
        if not waiting:
            return
        encoded = self._encoder.encode(np.stack([pixels for _, pixels in waiting]), self._batch_size)
        images = [image for image, _ in waiting]
        if any(self.writer.is_pending(image.path) for image in images):
            self.writer.commit()  # a newer image of that name replaces a committed one only
        self.writer.add(encoded.embedding, encoded.tokens if self._keep_tokens else None, images)


def _as_image(image: NDArray[np.uint8] | Image.Image | str | Path | bytes) -> Image.Image:
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise UsageError(
                f"pixels are {image.dtype} {image.shape}, expected uint8 (height, width, 3), RGB"
            )
        return Image.fromarray(np.ascontiguousarray(image))
    return image if isinstance(image, Image.Image) else decode_image(image)


def _root(gallery: Path, root: str | Path | None) -> Path:
    if root is not None:
        return Path(root).resolve()
    return Path(read_index(gallery).identity.root) if (gallery / INDEX_NAME).exists() else gallery.resolve()
