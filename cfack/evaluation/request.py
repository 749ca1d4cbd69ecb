"""What an evaluation is asked for, whatever runs the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfack.data.annotations import Split
from cfack.evaluation.result import EvaluationResult
from cfack.evaluation.trial import Trial
from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.metrics import QueryMetrics, recall_at, summarize
from cfack_runtime.ranking import Candidates
from cfack_runtime.scoring import Scoring


@dataclass(frozen=True)
class EvaluationRequest:
    """How a split is ranked.

    Raises:
        UsageError: `official` without re-ranking, or a negative number of candidates.
    """

    rerank: int
    """Candidates per query that are put in order; 0 leaves that out."""
    official: bool
    """Give what was not re-ranked -100."""
    scoring: Scoring
    """What candidates are put in order by."""

    def __post_init__(self) -> None:
        if self.rerank < 0:
            raise UsageError(f"rerank must be 0 or more, got {self.rerank}")
        if self.official and not self.rerank:
            raise UsageError("the official fill is about what is not re-ranked; give rerank a number above 0")

    def result(
        self,
        split: Split,
        trial: Trial,
        dual: QueryMetrics,
        candidates: Candidates,
        logits: NDArray[np.float32] | None,
        seconds: float,
    ) -> EvaluationResult:
        """Measure the re-ranked order, and put all figures together.

        Args:
            split: what was measured.
            trial: its embeddings.
            dual: metrics of the dual encoder.
            candidates: (Q, K), of the dual encoder.
            logits: (Q, K, 2) of the candidates; None without re-ranking.
            seconds: since the evaluation began.
        """
        reranked = None
        if logits is not None:
            reranked = summarize(trial.reranked(candidates, logits, self.scoring, self.official))
        depth = candidates.indices.shape[1]
        return EvaluationResult(
            dataset=split.dataset,
            split=split.name,
            queries=len(trial.queries),
            gallery=len(trial.gallery),
            identities=split.num_identities,
            candidates=depth,
            official=self.official,
            score=self.scoring.name,
            dual=summarize(dual),
            reranked=reranked,
            candidate_recall=recall_at(dual, depth) if self.rerank else None,
            seconds=seconds,
        )


def captions_of(split: Split) -> list[str]:
    """Every caption of a split, image by image.

    Raises:
        DataError: there is none.
    """
    captions = [caption for record in split.records for caption in record.captions]
    if not captions:
        raise DataError(f"the {split.name} split of {split.dataset} holds no captions, so nothing to measure")
    return captions
