"""Every query of a split through the exported bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cfack.data.annotations import Split
from cfack_runtime.contact_sheet import SheetHit, SheetRow
from cfack_runtime.gallery import Gallery
from cfack_runtime.hits import Hit
from cfack_runtime.metrics import RetrievalMetrics, query_metrics, summarize
from cfack_runtime.progress import ProgressCallback
from cfack_runtime.retriever import Retriever


@dataclass(frozen=True)
class SearchedSplit:
    """Complete rankings of a gallery for all captions of the split it shows."""

    captions: Sequence[str]
    rankings: Sequence[Sequence[Hit]]
    """For each caption all images of the gallery, best first."""
    relevant: Sequence[Sequence[bool]]
    """Whether the image at each rank shows the caption's identity."""

    def metrics(self) -> RetrievalMetrics:
        """Retrieval metrics over all captions."""
        return summarize(query_metrics(np.array(self.relevant)))

    def sheet_rows(self, count: int, hits: int) -> list[SheetRow]:
        """The first `hits` images of `count` queries, spread evenly over the split."""
        return [
            SheetRow(
                self.captions[query],
                [
                    SheetHit(hit.path, hit.decisive_score, correct)
                    for hit, correct in zip(
                        self.rankings[query][:hits], self.relevant[query][:hits], strict=True
                    )
                ],
            )
            for query in spread(len(self.captions), count)
        ]


def search_split(
    retriever: Retriever,
    gallery: Gallery,
    photos: Path,
    split: Split,
    rerank: int,
    score: str,
    progress: ProgressCallback,
) -> SearchedSplit:
    """Search a gallery with every caption of a split.

    Args:
        retriever: an open bundle.
        gallery: of the split's images, which lie below `photos` under the split's relative paths.
        photos: the folder that was indexed.
        split: its captions are the queries.
        rerank: candidates per query.
        score: what these are put in order by.
        progress: counts captions.
    """
    identity_of = {photos.resolve() / record.image: record.identity for record in split.records}
    asked = [(caption, record.identity) for record in split.records for caption in record.captions]
    captions = [caption for caption, _ in asked]
    rankings = retriever.search_many(
        gallery, captions, k=len(gallery), rerank=rerank, score=score, progress=progress
    )
    relevant = [
        [identity_of[hit.path] == identity for hit in hits]
        for hits, (_, identity) in zip(rankings, asked, strict=True)
    ]
    return SearchedSplit(captions, rankings, relevant)


def spread(total: int, count: int) -> list[int]:
    """`count` places spread evenly over `total`; all of them where there are fewer."""
    count = min(count, total)
    return [place * total // count for place in range(count)]
