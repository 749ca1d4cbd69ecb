"""What a search finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cfack_runtime.manifest import Scalar


@dataclass(frozen=True)
class Hit:
    """One image found.

    Two scores, since two models judge. The dual encoder gives `score` to every image. The re-ranker gives
    its two logits to the first candidates only, which are ordered and scored as the search was asked to; see
    `cfack_runtime.scoring`. By default they are ordered by `match_logit`, logit 1, which is the official
    score, and `match_score` is softmax(logits)[1]; since logit 0 has a part in that, it need not fall along
    the ranks.
    """

    path: Path
    score: float
    """Cosine of query and image."""
    match_score: float | None
    """0 to 1, or log-odds if those were asked for; None if the image was not re-ranked."""
    match_logit: float | None
    """Logit 1 of the re-ranker; None if the image was not re-ranked."""
    rank: int
    """From 1."""
    metadata: Mapping[str, Scalar]

    @property
    def decisive_score(self) -> float:
        """What `min_score` is compared with: the match score if there is one, else the cosine."""
        return self.score if self.match_score is None else self.match_score


def at_least(hits: Iterable[Hit], min_score: float) -> list[Hit]:
    """Keep hits that reach a score, and count their ranks anew.

    Where some hits were re-ranked only those can be kept: a cosine and a match score have no common scale.
    """
    hits = list(hits)
    reranked = any(hit.match_score is not None for hit in hits)
    kept = [
        hit
        for hit in hits
        if (hit.match_score is not None or not reranked) and hit.decisive_score >= min_score
    ]
    return [replace(hit, rank=rank) for rank, hit in enumerate(kept, 1)]
