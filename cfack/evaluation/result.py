"""What an evaluation found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cfack_runtime.metrics import RetrievalMetrics


@dataclass(frozen=True)
class EvaluationResult:
    """Retrieval metrics of one model on one split; docs/metrics.md defines each figure."""

    dataset: str
    split: str
    queries: int
    """Captions."""
    gallery: int
    """Images, all of the split."""
    identities: int
    candidates: int
    """Images per query that were re-ranked, at most the whole gallery; 0 without re-ranking."""
    official: bool
    """Whether what was not re-ranked got -100, instead of staying in the order of the dual encoder."""
    score: str
    """What the candidates were put in order by; see `cfack_runtime.scoring`."""
    dual: RetrievalMetrics
    """By the cosine of the two embeddings alone."""
    reranked: RetrievalMetrics | None
    """With the first `candidates` in the order of their match scores."""
    candidate_recall: float | None
    """Queries in percent with a relevant image among the candidates: the most that R@1 can reach."""
    seconds: float
    """Wall time, reading of the images included."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, under the names of the attributes."""
        return asdict(self)
