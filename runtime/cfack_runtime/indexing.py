"""From a folder of images to a gallery that equals it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.bundle import Bundle
from cfack_runtime.encoders import IMAGE_BATCH, ImageEncoder
from cfack_runtime.errors import BackendError, DataError
from cfack_runtime.gallery import Gallery, IndexReport, SkippedImage
from cfack_runtime.gallery_identity import NO_TOKENS, bundle_identity, token_kind
from cfack_runtime.gallery_index import GalleryImage
from cfack_runtime.gallery_known import KnownImages
from cfack_runtime.gallery_metadata import Metadata
from cfack_runtime.gallery_writer import GalleryWriter
from cfack_runtime.images import IMAGE_SUFFIXES, list_images
from cfack_runtime.indexing_pipeline import decode_ahead, default_decoders
from cfack_runtime.progress import ProgressCallback, no_progress

_log = logging.getLogger(__name__)

SEGMENT_IMAGES = 1024
"""A segment is committed when it holds so many images ..."""
SEGMENT_SECONDS = 60.0
"""... or was begun so long ago, so that a killed process loses at most a minute's work."""


@dataclass(frozen=True)
class _Plan:
    to_encode: list[GalleryImage]
    unchanged: int
    gone: list[str]
    skipped: list[SkippedImage]


def index_images(
    folder: str | Path,
    out: str | Path,
    bundle: Bundle,
    encoder: ImageEncoder,
    precision: str,
    *,
    tokens: bool | str | None = None,
    embeddings: str | None = None,
    metadata: Mapping[str, Metadata] | None = None,
    batch_size: int = IMAGE_BATCH,
    decoders: int | None = None,
    allow_unmeasured: bool = False,
    progress: ProgressCallback = no_progress,
) -> Gallery:
    """Encode the images of a folder into a gallery, or bring a gallery up to date with its folder.

    Only new and changed files are encoded; images whose files are gone are taken out. A file that cannot be
    read is skipped and listed in `gallery.report`. What is done is committed about once a minute, so that a
    killed run goes on from there.

    Args:
        folder: images, also in folders below.
        out: the gallery's folder.
        bundle: what encodes.
        encoder: its image encoder.
        precision: the precision of that encoder.
        tokens: how image tokens are kept, which re-ranking needs: "fp16" (or True) takes (1+N) x C x 2 bytes
            an image, "int8" half of that; "none" (or False): not at all; None: as the gallery has them, fp16
            if it is new.
        embeddings: how embeddings are kept, "fp32" or "fp16"; None: as the gallery has them, fp32 if it is
            new.
        metadata: path relative to `folder` -> what is known of that image. Images that it does not name keep
            what they have.
        batch_size: images encoded at a time.
        decoders: threads that decode; None: one a core.
        allow_unmeasured: keep tokens in INT8 although the bundle's parity gate has not measured that.
        progress: counts images encoded.

    Raises:
        DataError: there is no image, or none that can be read.
        EmbeddingSpaceError: the gallery belongs to another model.
        GalleryError: the gallery is damaged, of another folder, of other kinds of numbers, or cannot be
            written.
        UsageError: an argument is out of range, or INT8 tokens are not allowed.
    """
    folder = Path(folder).resolve()
    kind = token_kind(out, bundle, precision, tokens, allow_unmeasured=allow_unmeasured)
    identity = bundle_identity(bundle, folder, with_tokens=kind != NO_TOKENS)
    stored = None if kind == NO_TOKENS else kind
    with GalleryWriter(out, identity, precision, embeddings=embeddings, tokens=stored) as writer:
        report = index_folder(
            folder,
            writer,
            encoder,
            keep_tokens=kind != NO_TOKENS,
            batch_size=batch_size,
            progress=progress,
            metadata=metadata,
            decoders=decoders,
        )
    gallery = Gallery.open(out)
    gallery.report = report
    return gallery


def index_folder(
    folder: Path,
    writer: GalleryWriter,
    encoder: ImageEncoder,
    *,
    keep_tokens: bool,
    batch_size: int,
    progress: ProgressCallback,
    metadata: Mapping[str, Metadata] | None = None,
    decoders: int | None = None,
) -> IndexReport:
    """Encode what is new or has changed, and take out what is gone.

    A file counts as unchanged if its size and its time of last change are. One that cannot be read is
    skipped, reported and logged as a warning.

    Args:
        folder: read with all folders in it.
        writer: the gallery.
        encoder: of the gallery's embedding space.
        keep_tokens: write image tokens too.
        batch_size: images encoded at a time.
        progress: counts files that had to be encoded.
        metadata: see `index_images`.
        decoders: threads that decode; None: one a core.

    Raises:
        DataError: the folder holds no image, or none that can be read. What was in the gallery stays.
        GalleryError: the disk does not take it.
    """
    began = last_commit = time.perf_counter()
    decoders = default_decoders() if decoders is None else decoders
    plan = _plan(folder, writer.images, metadata or {})
    skipped, added, done, total = plan.skipped, 0, 0, len(plan.to_encode)
    for batch in decode_ahead(folder, plan.to_encode, encoder.geometry, batch_size, decoders):
        images, pixels = [], []
        for image, result in batch:
            if isinstance(result, np.ndarray):
                images.append(image)
                pixels.append(result)
            else:
                _skip(skipped, image.path, str(result).removeprefix(f"{folder / image.path}: "))
        if images:
            encoded = encoder.encode(np.stack(pixels), batch_size)
            if keep_tokens:
                _require_half(encoded.tokens, images)
            writer.add(encoded.embedding, encoded.tokens if keep_tokens else None, images)
            added += len(images)
        done += len(batch)
        if writer.pending >= SEGMENT_IMAGES or time.perf_counter() - last_commit > SEGMENT_SECONDS:
            writer.commit()
            last_commit = time.perf_counter()
            _log.info("%d of %d images, %.1f/s", done, total, done / (last_commit - began))
        progress(done, total)
    if not added and not plan.unchanged:
        raise DataError(
            f"none of the {len(skipped)} image files in {folder} can be read; the first is "
            f"{skipped[0].path}: {skipped[0].reason}"
        )
    removed = [*plan.gone, *(image.path for image in skipped if image.path in writer.images)]
    writer.remove(removed)
    if metadata:
        writer.set_metadata(metadata)
    return IndexReport(added, plan.unchanged, len(removed), tuple(skipped), time.perf_counter() - began)


def _plan(folder: Path, known: KnownImages, metadata: Mapping[str, Metadata]) -> _Plan:
    files = list_images(folder)
    if not files:
        raise DataError(
            f"{folder}: holds no image; files that end in {', '.join(IMAGE_SUFFIXES)} are taken, in all "
            "folders below it"
        )
    plan = _Plan([], 0, [], [])
    unchanged, found = 0, set()
    for file in files:
        path = file.relative_to(folder).as_posix()
        found.add(path)
        try:
            path.encode()
            status = file.stat()
        except UnicodeEncodeError:
            _skip(plan.skipped, path, "its name is not valid UTF-8; rename it")
            continue
        except OSError as error:  # a dangling link, or deleted since it was listed
            _skip(plan.skipped, path, f"cannot be opened: {error.strerror}")
            continue
        image = GalleryImage(path, status.st_size, status.st_mtime_ns, {})
        if known.file(path) == (image.size, image.mtime_ns):
            unchanged += 1
        else:
            told = metadata.get(path)
            if told is None:  # another picture of the same camera: what was known of it stays
                told = known[path].metadata if path in known else {}
            plan.to_encode.append(replace(image, metadata=told))
    return _Plan(plan.to_encode, unchanged, [path for path in known if path not in found], plan.skipped)


def _skip(skipped: list[SkippedImage], path: str, reason: str) -> None:
    skipped.append(SkippedImage(path, reason))
    _log.warning("skipped %s: %s", path, reason)


def _require_half(tokens: NDArray[np.floating], images: Sequence[GalleryImage]) -> None:
    """Refuse tokens (B, 1+N, C) that are too large for FP16, in which they are read."""
    with np.errstate(over="ignore"):
        finite = np.isfinite(tokens.astype(np.float16)).all(axis=(1, 2))
    if not finite.all():
        raise BackendError(
            f"the image tokens of {images[int(np.argmin(finite))].path} are too large for FP16, in which a "
            "gallery keeps them; index without tokens (--tokens none)"
        )
