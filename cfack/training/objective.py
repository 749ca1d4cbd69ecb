"""One training forward pass: which losses are added, from which features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfack import losses
from cfack.losses import HardNegatives, PairLoss
from cfack.modeling import CFACK, TextFeatures
from cfack.training.fused_terms import FusionInputs, MaskedCaptions, fused_terms, masked_captions
from cfack.training.views import AssignedViews, assign_views
from cfack_runtime.errors import TrainingError

if TYPE_CHECKING:
    from cfack.config import ExperimentConfig
    from cfack.data.batch import TrainingBatch

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.001, 0.5

Gather = Callable[[Tensor], Tensor]
"""Concatenates a tensor (B, ...) over processes to (W * B, ...); its backward sums over processes."""


def no_gather(local: Tensor) -> Tensor:
    """One process has all there is."""
    return local


@dataclass(frozen=True)
class Losses:
    """What one forward pass gives."""

    total: Tensor
    """Scalar with gradient: the sum of the terms."""
    terms: dict[str, Tensor]
    """Detached scalars: "contrastive", "matching", and where the model has the heads "masked_language" and
    "identity"."""


class _Embeddings(NamedTuple):
    """Embeddings of one batch, (B, D) each, or (W * B, D) once gathered."""

    image: Tensor
    text: Tensor
    momentum_image: Tensor | None = None
    momentum_text: Tensor | None = None
    cnn: Tensor | None = None

    def gathered(self, gather: Gather) -> _Embeddings:
        """Gather all over the processes, in one call."""
        present = [name for name in self._fields if getattr(self, name) is not None]
        stacked = gather(torch.stack([getattr(self, name) for name in present], dim=1))  # (W * B, k, D)
        return _Embeddings(**dict(zip(present, stacked.unbind(dim=1), strict=True)))


class Objective(nn.Module):
    """The training objective; it holds no weights and is not part of any checkpoint.

    `prepare` once the weights are loaded and before the optimiser is built; then for each micro-batch
    `before_step`, the call itself, and backward.
    """

    def __init__(self, config: ExperimentConfig, gather: Gather = no_gather) -> None:
        super().__init__()
        self._config = config.loss
        self._views = config.augment.views
        self._switches = config.switches
        self._gather = gather
        self._hardness = 1.0

    def prepare(self, model: CFACK) -> None:
        """Freeze the temperature where it is not learned."""
        model.temperature.requires_grad_(self._config.pairs != "sdm" and self._config.learn_temperature)

    @torch.no_grad()
    def before_step(self, model: CFACK, *, first_micro_batch: bool = True, share_done: float = 1.0) -> None:
        """Update the momentum encoders, keep the temperature in its range, and harden the negatives.

        The momentum encoders move once per optimiser step; with the switch O6 on every micro-batch.

        Args:
            model: its momentum encoders and temperature change.
            first_micro_batch: whether an optimiser step begins here.
            share_done: of all optimiser steps, 0 to 1; see `loss.hard_negative_warmup`.
        """
        warmup = self._config.hard_negative_warmup
        self._hardness = min(1.0, share_done / warmup) if warmup else 1.0
        if model.momentum is not None and (
            first_micro_batch or self._switches.momentum_update_every_micro_batch
        ):
            model.momentum.update(model, self._config.momentum)
        if model.momentum is not None or not self._switches.temperature_as_released:  # O7
            model.temperature.clamp_(MIN_TEMPERATURE, MAX_TEMPERATURE)

    def forward(self, model: CFACK, batch: TrainingBatch, negatives: HardNegatives | None = None) -> Losses:
        """Run the encoders and add the losses.

        Args:
            model: in training mode; in evaluation mode dropout and stochastic depth stay off.
            batch: B pairs.
            negatives: taken instead of drawn ones; their rows count among this process's pairs, or among the
                gathered pairs where negatives come from all processes.

        Raises:
            TrainingError: the batch lacks what a part of the model needs.
        """
        views = assign_views(batch, self._views, model.momentum is not None)
        image = model.encode_image(views.image)
        masked = masked_captions(model, batch)
        text, masked_tokens = _encode_texts(model, views, masked)
        local = _Embeddings(
            image.embedding, text.embedding, *self._momentum(model, views), self._cnn(model, batch)
        )
        everywhere = local.gathered(self._gather)
        identity = self._gather(batch.identity)

        terms = {"contrastive": self._pairs(everywhere, identity, model.temperature)}
        if negatives is None:
            negatives = self._draw_negatives(local, everywhere, batch.identity, identity, model.temperature)
        text_mask = batch.original_mask if self._switches.matching_uses_original_mask else views.mask  # O2
        inputs = FusionInputs(image.tokens, text.tokens, text_mask, masked_tokens)
        negatives_from = no_gather if self._switches.local_negatives else self._gather  # O19
        terms |= fused_terms(model, inputs, masked, negatives, negatives_from)
        if model.identity_classifier is not None:
            seen = [v for v in (local.image, local.momentum_image) if v is not None]
            terms["identity"] = losses.identity_loss(map(model.identity_classifier, seen), batch.identity)
        return Losses(
            torch.stack(list(terms.values())).sum(), {name: term.detach() for name, term in terms.items()}
        )

    def _momentum(self, model: CFACK, views: AssignedViews) -> tuple[Tensor | None, Tensor | None]:
        if model.momentum is None:
            return None, None
        model.momentum.train(model.training and not self._config.momentum_in_eval_mode)  # O5
        return (
            model.momentum.embed_image(views.momentum_image),
            model.momentum.embed_text(views.momentum_ids, views.momentum_mask),
        )

    def _cnn(self, model: CFACK, batch: TrainingBatch) -> Tensor | None:
        if model.cnn_branch is None:
            return None
        if batch.image_cnn is None:
            raise TrainingError("the model has a CNN branch, but the batch carries no CNN view (image_cnn)")
        embedding: Tensor = model.cnn_branch(batch.image_cnn).float()
        as_released = self._switches.cnn_term_as_released and model.cnn_branch.projection is not None  # O8
        return embedding if as_released else F.normalize(embedding, dim=-1)

    def _pairs(self, embeddings: _Embeddings, identity: Tensor, temperature: Tensor) -> Tensor:
        """Mean over the pairs of sets of embeddings, the CNN's included."""
        loss = losses.sdm_loss if self._config.pairs == "sdm" else losses.contrastive_loss
        pair_loss: PairLoss = partial(
            loss, targets=losses.identity_targets(identity), temperature=temperature
        )
        image, text, momentum_image, momentum_text, cnn = embeddings
        if momentum_image is not None and momentum_text is not None:
            num_pairs = 6
            pairs = losses.complete_aggregation(pair_loss, image, text, momentum_image, momentum_text)
        else:
            num_pairs = 1
            pairs = pair_loss(image, text)
        if cnn is None:
            return pairs
        if num_pairs == 1 and self._switches.cnn_term_as_released:  # O8
            diagonal = losses.diagonal_targets(len(cnn), cnn.device)
            return pairs + loss(image, cnn, diagonal, temperature)
        return losses.with_knowledge_conversion(
            pairs, num_pairs, pair_loss(image, cnn), self._config.cnn_weight
        )

    def _draw_negatives(
        self,
        local: _Embeddings,
        everywhere: _Embeddings,
        identity: Tensor,
        identities: Tensor,
        temperature: Tensor,
    ) -> HardNegatives:
        """Draw among all processes' pairs, with the switch O19 among this one's."""
        if self._switches.local_negatives:
            everywhere, identities = local, identity
        return losses.sample_hard_negatives(
            local.image,
            local.text,
            identity,
            everywhere.image,
            everywhere.text,
            identities,
            temperature,
            self._hardness,
            self._config.negatives_per_pair,
        )


def _encode_texts(
    model: CFACK, views: AssignedViews, masked: MaskedCaptions | None
) -> tuple[TextFeatures, Tensor | None]:
    """Encode the online captions and, where there are any, the masked ones in the same pass."""
    if masked is None:
        return model.encode_text(views.ids, views.mask), None
    both = model.encode_text(torch.cat([views.ids, masked.ids]), torch.cat([views.mask, masked.mask]))
    size = len(views.ids)
    return TextFeatures(both.tokens[:size], both.embedding[:size]), both.tokens[size:]
