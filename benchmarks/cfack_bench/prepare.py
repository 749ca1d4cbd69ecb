"""Makes the inputs of a run, and says what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfack.data.annotations import Split, read_split
from cfack_bench.cases import IMAGES, Case
from cfack_bench.gallery import write_random_gallery
from cfack_bench.suite import Suite
from cfack_bench.workload import (
    Workload,
    made_up_captions,
    noise_pixels,
    questions_of,
    save_workload,
    split_captions,
    split_pixels,
)
from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import EmbeddingSpaceError, UsageError
from cfack_runtime.gallery import Gallery

_SPLIT = "test"


@dataclass(frozen=True)
class Sources:
    """Where inputs come from; without a source they are made up."""

    data: Path | None = None
    """Prepared data folder, whose test split gives images and captions."""
    gallery: Path | None = None
    """Gallery that is searched."""
    checkpoint: Path | None = None
    seed: int = 0


def prepare_inputs(
    folder: Path, bundle: Bundle, suite: Suite, cases: Sequence[Case], sources: Sources
) -> dict[str, Any]:
    """Write the workload into a folder.

    Returns:
        What the inputs are, for `results.json`; no path.

    Raises:
        CfackError: the data or the gallery cannot be read, or the gallery does not suit.
    """
    geometry = bundle.manifest.geometry
    split = None if sources.data is None else read_split(sources.data, _SPLIT)
    most = max([1, *(int(case.parameters["batch"]) for case in cases if case.measure == IMAGES)])
    pixels = (
        noise_pixels(geometry, most, sources.seed) if split is None else split_pixels(split, geometry, most)
    )
    captions = made_up_captions(bundle.tokenizer, sources.seed) if split is None else split_captions(split)
    gallery = _gallery(folder, bundle, suite, cases, sources)
    places, questions = _questions(split, suite, sources.seed)
    workload = Workload(
        bundle=bundle.path,
        checkpoint=sources.checkpoint and sources.checkpoint.resolve(),
        gallery=gallery,
        captions=captions,
        k=suite.query.k if suite.query else 1,
        seed=sources.seed,
        images=tuple(split.path(place).resolve() for place in places) if split else (),
        identities=tuple(split.records[place].identity for place in places) if split else (),
        questions=tuple(questions),
    )
    save_workload(folder, workload, pixels)
    lengths = bundle.tokenizer.encode(captions).attention_mask.sum(axis=1)
    of_split = f"{split.dataset}, {_SPLIT} split" if split else ""
    return {
        "images": f"images of {of_split}" if split else "noise",
        "captions": f"captions of {of_split}" if split else "random words of the vocabulary",
        "caption_tokens": [int(lengths.min()), int(lengths.mean().round()), int(lengths.max())],
        "gallery_images": len(Gallery.open(gallery)) if gallery else 0,
        "gallery": ("given" if sources.gallery else "random vectors") if gallery else "none",
        "seed": sources.seed,
    }


def _gallery(
    folder: Path, bundle: Bundle, suite: Suite, cases: Sequence[Case], sources: Sources
) -> Path | None:
    wanted = [int(case.parameters.get("candidates", 0)) for case in cases if case.needs_gallery]
    if not wanted:
        return None
    if sources.gallery is None:
        count = max(*wanted, suite.query.gallery if suite.query else 1, 1)
        return write_random_gallery(bundle, folder / "gallery", count, sources.seed)
    gallery = Gallery.open(sources.gallery)
    if gallery.identity.embedding_space != bundle.embedding_space:
        raise EmbeddingSpaceError(
            f"{sources.gallery}: was made by another model than {bundle.path.name}; index it again"
        )
    if not gallery.has_tokens and max(wanted):
        raise UsageError(f"{sources.gallery}: holds no image tokens, which re-ranking needs")
    if len(gallery) < max(wanted):
        raise UsageError(
            f"{sources.gallery}: holds {len(gallery)} images, and the suite re-ranks {max(wanted)}; "
            "give a larger gallery, or none"
        )
    return sources.gallery.resolve()


def _questions(split: Split | None, suite: Suite, seed: int) -> tuple[Sequence[int], Sequence[Any]]:
    if split is None or suite.accuracy is None:
        return (), ()
    return questions_of(split, suite.accuracy.images, suite.accuracy.captions, seed)
