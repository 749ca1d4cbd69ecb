"""Every score of a search, and a filter with it, gives the same hits in C as in Python."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cfack_runtime.gallery import Gallery
from cfack_runtime.retriever import Retriever

sys.path.insert(0, str(Path(__file__).parent))
import capi

INVALID = -1
QUERIES = ["a person in a red coat", "blue", "a green person", "a person in yellow and blue"]


@dataclass(frozen=True)
class Side:
    """A bundle and a gallery, opened by both."""

    library: capi.Library
    bundle: Any
    retriever: Retriever
    path: Path

    def same(self, **options: Any) -> list[list[tuple[Any, ...]]]:
        """Search with both; the same hits and numbers."""
        ours_gallery, gallery = self.library.open("gallery", self.path), Gallery.open(self.path)
        ours = self.library.search(self.bundle, ours_gallery, QUERIES, **options)
        self.library.c.cfack_gallery_free(ours_gallery)
        theirs = self.retriever.search_many(gallery, QUERIES, **options)
        for mine, other in zip(ours, theirs, strict=True):
            assert [hit[0] for hit in mine] == [str(hit.path.relative_to(gallery.root)) for hit in other]
            for a, b in zip(mine, other, strict=True):
                assert a[1] == pytest.approx(b.score, abs=1e-6)
                assert a[2] == (None if b.match_logit is None else pytest.approx(b.match_logit, abs=1e-5))
                assert a[3] == (None if b.match_score is None else pytest.approx(b.match_score, abs=1e-6))
        return ours


@pytest.fixture(scope="module")
def library() -> capi.Library:
    return capi.Library()


@pytest.fixture
def side(library: capi.Library, toy_bundle: Path, tmp_path: Path, photos: Path) -> Iterator[Side]:
    """The toy bundle with a score calibration, and a gallery of its photos."""
    calibrated = Path(shutil.copytree(toy_bundle, tmp_path / "calibrated.cfack"))
    manifest = json.loads((calibrated / "manifest.json").read_text())
    fitted = {"slope": 0.75, "offset": -0.5, "cosine": 2.5, "pairs": 9, "split_sha256": "a" * 64}
    manifest["score_calibration"] = fitted
    (calibrated / "manifest.json").write_text(json.dumps(manifest))
    bundle = library.open("bundle", calibrated)
    with Retriever.open(calibrated) as retriever:
        retriever.index(photos, tmp_path / "gallery")
        yield Side(library, bundle, retriever, tmp_path / "gallery")
    library.c.cfack_bundle_free(bundle)


@pytest.mark.parametrize("score", capi.SCORES)
@pytest.mark.parametrize("min_score", [None, -0.5, 0.5])
def test_every_score_ranks_and_filters_as_in_python(side: Side, score: str, min_score: float | None) -> None:
    for options in ({}, {"k": 2, "rerank": 3}, {"rerank": 0}):
        side.same(score=score, min_score=min_score, **options)


def test_the_cosine_of_a_calibration_changes_the_order(side: Side) -> None:
    by_odds, by_probability = (side.same(score=score)[0] for score in ("log-odds", "probability"))
    assert [hit[3] for hit in by_probability] == sorted((hit[3] for hit in by_probability), reverse=True)
    assert [hit[3] for hit in by_odds] != [hit[3] for hit in by_probability]


def test_a_probability_needs_a_calibration(library: capi.Library, toy_bundle: Path, side: Side) -> None:
    bundle, gallery = library.open("bundle", toy_bundle), library.open("gallery", side.path)
    with pytest.raises(capi.LibraryError, match="holds no score calibration") as caught:
        library.search(bundle, gallery, QUERIES, score="probability")
    assert caught.value.code == INVALID
    library.c.cfack_gallery_free(gallery)
    library.c.cfack_bundle_free(bundle)


def test_a_filter_comes_before_the_ranking(side: Side) -> None:
    found = side.same(where="path ~ red*", k=1)
    assert {hit[0] for hits in found for hit in hits} <= {"red.png", "red-top.png"}
    assert side.same(where="path = nowhere.png") == [[], [], [], []]
