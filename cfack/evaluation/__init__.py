"""Measuring a model on a split of a data set."""

from cfack.evaluation.encode import EncodedGallery, EncodedQueries, encode_gallery, encode_queries
from cfack.evaluation.mode import evaluation_mode
from cfack.evaluation.protocol import evaluate
from cfack.evaluation.rerank import match_candidates
from cfack.evaluation.result import EvaluationResult

__all__ = [
    "EncodedGallery",
    "EncodedQueries",
    "EvaluationResult",
    "encode_gallery",
    "encode_queries",
    "evaluate",
    "evaluation_mode",
    "match_candidates",
]
