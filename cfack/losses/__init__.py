"""Losses: pure functions of tensors, gathered over processes before they are called."""

from cfack.losses.aggregation import PairLoss, complete_aggregation, with_knowledge_conversion
from cfack.losses.contrastive import contrastive_loss
from cfack.losses.identity import identity_loss
from cfack.losses.masked_language import masked_language_loss, select_positions
from cfack.losses.matching import HardNegatives, matching_loss, sample_hard_negatives
from cfack.losses.sdm import sdm_loss
from cfack.losses.similarity import diagonal_targets, identity_targets, similarity_logits

__all__ = [
    "HardNegatives",
    "PairLoss",
    "complete_aggregation",
    "contrastive_loss",
    "diagonal_targets",
    "identity_loss",
    "identity_targets",
    "masked_language_loss",
    "matching_loss",
    "sample_hard_negatives",
    "sdm_loss",
    "select_positions",
    "similarity_logits",
    "with_knowledge_conversion",
]
