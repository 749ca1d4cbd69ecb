"""Measuring a model on a split of a data set.

Names are imported when they are used: an exported bundle is measured without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfack.evaluation.bundle import BundleEvaluation, evaluate_bundle
    from cfack.evaluation.encode import EncodedGallery, EncodedQueries, encode_gallery, encode_queries
    from cfack.evaluation.mode import evaluation_mode
    from cfack.evaluation.protocol import evaluate
    from cfack.evaluation.rerank import match_candidates
    from cfack.evaluation.result import EvaluationResult

__all__ = [
    "BundleEvaluation",
    "EncodedGallery",
    "EncodedQueries",
    "EvaluationResult",
    "encode_gallery",
    "encode_queries",
    "evaluate",
    "evaluate_bundle",
    "evaluation_mode",
    "match_candidates",
]

_MODULES = {
    "BundleEvaluation": "bundle",
    "EncodedGallery": "encode",
    "EncodedQueries": "encode",
    "EvaluationResult": "result",
    "encode_gallery": "encode",
    "encode_queries": "encode",
    "evaluate": "protocol",
    "evaluate_bundle": "bundle",
    "evaluation_mode": "mode",
    "match_candidates": "rerank",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
