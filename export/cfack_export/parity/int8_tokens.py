"""Whether a gallery may keep image tokens in 8 bits: the re-ranked list, asked once more with such tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cfack_export.parity.features import Features, Ranking, dual_ranking, match_candidates, reranked_ranking
from cfack_export.parity.feeds import Run, searching_graph
from cfack_export.parity.limits import Limits
from cfack_export.parity.memo import Recall
from cfack_export.parity.sample import SplitSample
from cfack_export.parity.stage import Identities, StageReport, compare_stage
from cfack_export.parity.verdict import RERANKED, stage_failures
from cfack_runtime.gallery_tokens import dequantize_tokens, quantize_tokens
from cfack_runtime.graph_contract import IMAGE_ENCODER, TEXT_ENCODER


@dataclass(frozen=True)
class Int8Tokens:
    """Re-ranking from 8-bit tokens, against the reference's."""

    report: StageReport
    failures: tuple[str, ...]
    """A sentence for everything above its limit. The precision itself does not fail by it."""

    @property
    def passed(self) -> bool:
        """Whether a gallery of this precision may keep its tokens so."""
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        """For `parity.json`."""
        return {"passed": self.passed, "failures": list(self.failures), "reranked": self.report.to_json()}


def measure_int8_tokens(
    reference: Ranking,
    sample: SplitSample,
    features: Features,
    graphs: Mapping[str, Run],
    limits: Limits,
    recall: Recall,
    *,
    device: str = "cpu",
) -> Int8Tokens:
    """Re-rank the sample with tokens that went through 8 bits as a gallery's do.

    Args:
        reference: the reference's re-ranked ranking.
        sample: what was measured.
        features: what the precision's encoders made of it.
        graphs: of the precision.
        limits: of re-ranked lists; those of INT8 or coarser ones.
        recall: what the same graphs gave before.
        device: where the graphs run.

    Raises:
        ParityError: a logit is no number.
        BackendError: the graph cannot be run.
    """
    dual = dual_ranking(features.text_embeddings, features.image_embeddings)
    searching = searching_graph(graphs)

    def match() -> Any:
        return match_candidates(
            graphs[searching],
            dequantize_tokens(*quantize_tokens(features.image_tokens), np.float16),
            features.text_tokens,
            sample.attention_mask,
            dual.order[: sample.reranked_queries, : sample.candidates],
            device=device,
        )

    logits = recall.of("match, int8 tokens", (IMAGE_ENCODER, TEXT_ENCODER, searching), match)
    got = reranked_ranking(dual, logits)
    identities = Identities(sample.query_identities[: len(got.order)], sample.image_identities)
    report = compare_stage(reference, got, identities)
    return Int8Tokens(report, tuple(stage_failures(RERANKED, report, limits)))
