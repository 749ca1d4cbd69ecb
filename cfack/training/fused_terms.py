"""The terms that need the cross-encoder: matching and masked language modelling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cfack import losses
from cfack.losses import HardNegatives
from cfack.modeling import CFACK
from cfack_runtime.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cfack.data.batch import TrainingBatch


@dataclass(frozen=True)
class MaskedCaptions:
    """The original captions with hidden words."""

    ids: Tensor
    """int64 (B, T)."""
    mask: Tensor
    """(B, T), of the original captions."""
    positions: Tensor
    """int64 (B, M)."""
    labels: Tensor
    """int64 (B, M), -100 where there is nothing to predict."""


@dataclass(frozen=True)
class FusionInputs:
    """What the online encoders give to the cross-encoder."""

    image_tokens: Tensor
    """(B, 1+N, C')."""
    text_tokens: Tensor
    """(B, T, C)."""
    text_mask: Tensor
    """(B, T)."""
    masked_tokens: Tensor | None
    """(B, T, C) of the masked captions; None where there is no MLM head."""


def masked_captions(model: CFACK, batch: TrainingBatch) -> MaskedCaptions | None:
    """Take the masked captions out of a batch; None where the model has no MLM head.

    Raises:
        TrainingError: the model has one, and the batch carries no masked captions.
    """
    if model.mlm_head is None:
        return None
    if batch.masked_ids is None or batch.masked_positions is None or batch.masked_labels is None:
        raise TrainingError(
            "the model has an MLM head, but the batch carries no masked captions (masked_ids, "
            "masked_positions, masked_labels); build the data set with the model's configuration"
        )
    return MaskedCaptions(batch.masked_ids, batch.original_mask, batch.masked_positions, batch.masked_labels)


def fused_terms(
    model: CFACK,
    inputs: FusionInputs,
    masked: MaskedCaptions | None,
    negatives: HardNegatives,
    gather: Callable[[Tensor], Tensor],
) -> dict[str, Tensor]:
    """Run the fusion layers once for all pairs, and add up both losses.

    Once, because all rows attend to the same images: their keys and values, most of a fusion layer's work,
    are then computed once instead of four times.

    Args:
        model: its fusion layers and heads are used.
        inputs: of this process.
        masked: belongs to `inputs.masked_tokens`.
        negatives: rows among what `gather` returns.
        gather: brings the tokens of the processes whose pairs may be negatives.

    Returns:
        "matching" and, with an MLM head, "masked_language": scalars with gradient.
    """
    text, mask, images = inputs.text_tokens, inputs.text_mask, inputs.image_tokens
    size, drawn = len(images), len(negatives.image)
    count = drawn // size
    own = torch.arange(size, device=images.device)
    candidates, negative_rows = gather(images), negatives.image
    if len(candidates) > size:  # of the other processes' images only the drawn ones are needed
        images = torch.cat([images, candidates[negatives.image]])
        negative_rows = size + torch.arange(drawn, device=images.device)
    tokens = [text, text.repeat(count, 1, 1), gather(text)[negatives.text]]
    masks = [mask, mask.repeat(count, 1), gather(mask)[negatives.text]]
    rows = [own, negative_rows, own.repeat(count)]
    if masked is not None and inputs.masked_tokens is not None:
        tokens, masks, rows = [*tokens, inputs.masked_tokens], [*masks, masked.mask], [*rows, own]

    fused = model.fusion_encoder(torch.cat(tokens), torch.cat(masks), images, torch.cat(rows))
    pairs = size + 2 * drawn
    terms = {"matching": losses.matching_loss(model.matching_head(fused[:pairs, 0]), negatives)}
    if model.mlm_head is not None and masked is not None:
        hidden = losses.select_positions(fused[pairs:], masked.positions)  # (B, M, C)
        words = model.mlm_head(hidden, model.text_encoder.embeddings.word_embeddings.weight)  # (B, M, V)
        terms["masked_language"] = losses.masked_language_loss(words, masked.labels)
    return terms
