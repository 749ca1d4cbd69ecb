from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cfack import losses
from cfack.config import (
    AugmentConfig,
    CnnConfig,
    ExperimentConfig,
    LossConfig,
    ModelConfig,
    Switches,
    TextConfig,
    VisionConfig,
)
from cfack.data.batch import TrainingBatch
from cfack.losses import HardNegatives
from cfack.modeling import CFACK, build_model
from cfack.training.objective import Objective
from cfack_runtime.errors import TrainingError

SIZE, TOKENS = 4, 6
EVERY = torch.ones(SIZE, dtype=torch.bool)
NEGATIVES = HardNegatives(torch.tensor([1, 2, 3, 0]), torch.tensor([3, 0, 1, 2]), EVERY, EVERY)


def model_config(**changes: object) -> ModelConfig:
    config = ModelConfig(
        vision=VisionConfig(
            image_height=16, image_width=8, patch_size=8, width=16, depth=1, num_heads=2, drop_path_rate=0.0
        ),
        text=TextConfig(
            vocab_size=32,
            width=16,
            num_heads=2,
            intermediate_size=32,
            num_text_layers=1,
            num_fusion_layers=1,
            max_positions=16,
            max_tokens=TOKENS,
            dropout=0.0,
        ),
        cnn=CnnConfig(name="test_convnext", image_height=32, image_width=32, pretrained=False),
        embed_dim=8,
    )
    return replace(config, **changes)  # type: ignore[arg-type]  # the tests name existing fields


def build(**changes: object) -> CFACK:
    """A model without randomness, with weights large enough that every input shows in the losses."""
    torch.manual_seed(0)
    model = build_model(model_config(**changes))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2 and not name.startswith("cnn_branch"):
                weight.normal_(std=0.3)
    return model


def make_batch(seed: int = 0, **changes: Tensor | None) -> TrainingBatch:
    """Four pairs of three people; captions of differing length, the augmented ones shorter."""
    generator = torch.Generator().manual_seed(seed)

    def images(height: int, width: int) -> Tensor:
        return torch.randn(SIZE, 3, height, width, generator=generator)

    def ids() -> Tensor:
        return torch.randint(5, 32, (SIZE, TOKENS), generator=generator)

    def mask(lengths: list[int]) -> Tensor:
        return (torch.arange(TOKENS) < torch.tensor(lengths)[:, None]).long()

    batch = TrainingBatch(
        image_weak=images(16, 8),
        image_strong=images(16, 8),
        image_cnn=images(32, 32),
        original_ids=ids(),
        original_mask=mask([6, 5, 6, 4 - seed]),
        augmented_ids=ids(),
        augmented_mask=mask([4 - seed, 3, 6, 3 + seed]),
        masked_ids=ids(),
        masked_positions=torch.tensor([[1, 2], [3, 0], [1, 4], [2, 0]]),
        masked_labels=torch.tensor([[7, 8], [9, -100], [10, 11], [12, -100]]),
        identity=torch.tensor([0, 1, 0, 2]),
    )
    return replace(batch, **changes)  # type: ignore[arg-type]  # the tests name existing fields


def objective(switches: Switches | None = None, views: str = "code", **loss: object) -> Objective:
    config = ExperimentConfig(
        augment=AugmentConfig(views=views),
        loss=LossConfig(**loss),  # type: ignore[arg-type]  # the tests name existing fields
        switches=switches or Switches(),
    )
    return Objective(config)


def terms(model: CFACK, batch: TrainingBatch, of: Objective) -> dict[str, float]:
    with torch.no_grad():
        result = of(model, batch, NEGATIVES)
    return {name: term.item() for name, term in result.terms.items()}


def pair(a: Tensor, b: Tensor, identity: Tensor, temperature: Tensor) -> Tensor:
    return losses.contrastive_loss(a, b, losses.identity_targets(identity), temperature)


# What is computed


def test_the_total_is_the_sum_of_the_terms() -> None:
    model = build(num_identities=3)
    result = objective()(model, make_batch(), NEGATIVES)
    assert set(result.terms) == {"contrastive", "matching", "masked_language", "identity"}
    assert result.total.item() == pytest.approx(sum(term.item() for term in result.terms.values()))
    assert result.total.requires_grad
    assert not any(term.requires_grad for term in result.terms.values())


@torch.no_grad()
@pytest.mark.parametrize("views", ["code", "figure"])
def test_the_contrastive_term_aggregates_six_pairs_and_the_cnn(views: str) -> None:
    model, batch = build(), make_batch()
    assert model.momentum is not None
    assert model.cnn_branch is not None
    model.momentum.vision_projection.weight.mul_(-1.0)  # so that swapped encoders would show
    online = (batch.image_strong, batch.augmented_ids, batch.augmented_mask)
    momentum = (batch.image_weak, batch.original_ids, batch.original_mask)
    if views == "figure":  # O1
        online = (batch.image_weak, batch.original_ids, batch.original_mask)
        momentum = (batch.image_strong, batch.augmented_ids, batch.augmented_mask)
    v1, t1 = model.encode_image(online[0]).embedding, model.encode_text(*online[1:]).embedding
    v2, t2 = model.momentum.embed_image(momentum[0]), model.momentum.embed_text(*momentum[1:])
    cnn = F.normalize(model.cnn_branch(batch.image_cnn), dim=-1)

    pairs = [(v1, t1), (v1, t2), (v2, t1), (v2, t2), (v1, v2), (t1, t2)]
    six = sum(pair(a, b, batch.identity, model.temperature) for a, b in pairs)
    expected = (six + 0.5 * pair(v1, cnn, batch.identity, model.temperature)) / 6.5
    found = terms(model, batch, objective(views=views))["contrastive"]
    assert found == pytest.approx(expected.item(), abs=1e-5)


@torch.no_grad()
def test_without_momentum_the_online_encoders_get_the_weak_view_and_the_augmented_caption() -> None:
    model, batch = build(momentum=False, cnn=None), make_batch()
    image = model.encode_image(batch.image_weak).embedding
    text = model.encode_text(batch.augmented_ids, batch.augmented_mask).embedding
    expected = pair(image, text, batch.identity, model.temperature).item()
    for views in ("code", "figure"):
        found = terms(model, batch, objective(views=views))["contrastive"]
        assert found == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_matching_sees_positives_and_both_kinds_of_negatives() -> None:
    model, batch = build(), make_batch()
    image = model.encode_image(batch.image_strong).tokens
    mask = batch.augmented_mask
    text = model.encode_text(batch.augmented_ids, mask).tokens
    logits = [
        model.match(text, mask, image),
        model.match(text, mask, image[NEGATIVES.image]),
        model.match(text[NEGATIVES.text], mask[NEGATIVES.text], image),
    ]
    labels = torch.tensor([1] * SIZE + [0] * 2 * SIZE)
    expected = F.cross_entropy(torch.cat(logits), labels).item()
    assert terms(model, batch, objective())["matching"] == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_masked_words_are_predicted_from_the_caption_and_the_online_image() -> None:
    model, batch = build(), make_batch()
    assert model.mlm_head is not None
    text = model.encode_text(batch.masked_ids, batch.original_mask).tokens
    fused = model.fusion_encoder(text, batch.original_mask, model.encode_image(batch.image_strong).tokens)
    words = model.mlm_head(fused, model.text_encoder.embeddings.word_embeddings.weight)
    hidden = [(0, 1, 7), (0, 2, 8), (1, 3, 9), (2, 1, 10), (2, 4, 11), (3, 2, 12)]
    expected = sum(-words[row, at].log_softmax(0)[label].item() for row, at, label in hidden) / len(hidden)
    assert terms(model, batch, objective())["masked_language"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("pairs", "momentum", "mlm", "cnn", "identities"),
    list(product(["contrastive", "sdm"], [True, False], [True, False], [True, False], [0, 3])),
)
def test_every_combination_of_parts_trains_all_that_can_learn(
    pairs: str, momentum: bool, mlm: bool, cnn: bool, identities: int
) -> None:
    """O17 and O18: SDM with a CNN, an identity loss without momentum or without an MLM head."""
    changes: dict[str, object] = {} if cnn else {"cnn": None}
    model = build(momentum=momentum, mlm=mlm, num_identities=identities, **changes)
    of = objective(pairs=pairs)
    of.prepare(model)
    of.before_step(model)
    result = of(model, make_batch())
    result.total.backward()
    assert result.total.isfinite()
    assert ("masked_language" in result.terms) == mlm
    assert ("identity" in result.terms) == bool(identities)
    without = [n for n, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    assert without == []
    assert model.temperature.requires_grad == (pairs == "contrastive")
    assert all(weight.grad is None for n, weight in model.named_parameters() if n.startswith("momentum."))


def test_a_batch_without_what_the_model_needs_is_refused() -> None:
    model = build()
    with pytest.raises(TrainingError, match="CNN branch, but the batch carries no CNN view"):
        objective()(model, make_batch(image_cnn=None))
    with pytest.raises(TrainingError, match="MLM head, but the batch carries no masked captions"):
        objective()(model, make_batch(masked_ids=None))


def test_a_batch_of_one_identity_has_no_negatives_and_still_trains() -> None:
    """O19."""
    model = build()
    result = objective()(model, make_batch(identity=torch.zeros(SIZE, dtype=torch.int64)))
    assert result.total.isfinite()
    result.total.backward()


# Switches


def with_switch(name: str) -> Switches:
    assert name in {field.name for field in fields(Switches)}
    return Switches(**{name: True})


def test_o2_matching_can_use_the_original_captions_mask() -> None:
    model, batch = build(), make_batch()
    released = terms(model, batch, objective(with_switch("matching_uses_original_mask")))
    clean = terms(model, batch, objective())
    assert released["matching"] != pytest.approx(clean["matching"], abs=1e-4)
    same_masks = replace(batch, augmented_mask=batch.original_mask)
    released = terms(model, same_masks, objective(with_switch("matching_uses_original_mask")))
    assert released == pytest.approx(terms(model, same_masks, objective()))


@torch.no_grad()
def test_o5_momentum_encoders_drop_out_unless_told_not_to() -> None:
    model = build(text=replace(model_config().text, dropout=0.5)).train()
    assert model.momentum is not None
    objective()(model, make_batch())
    assert model.momentum.text_encoder.layers[0].training
    objective(momentum_in_eval_mode=True)(model, make_batch())
    assert not model.momentum.text_encoder.layers[0].training
    assert model.text_encoder.training
    objective()(model.eval(), make_batch())
    assert not model.momentum.text_encoder.layers[0].training


def momentum_weight(model: CFACK) -> float:
    assert model.momentum is not None
    return model.momentum.vision_projection.weight[0, 0].item()


@pytest.mark.parametrize(("switch", "expected"), [(False, 0.5), (True, 0.75)])
def test_o6_momentum_moves_once_per_step_or_on_every_micro_batch(switch: bool, expected: float) -> None:
    model = build()
    assert model.momentum is not None
    with torch.no_grad():
        model.momentum.vision_projection.weight.fill_(0.0)
        model.vision_projection.weight.fill_(1.0)
    of = objective(Switches(momentum_update_every_micro_batch=switch), momentum=0.5)
    of.before_step(model, first_micro_batch=True)
    assert momentum_weight(model) == 0.5
    of.before_step(model, first_micro_batch=False)
    assert momentum_weight(model) == expected


@pytest.mark.parametrize(("start", "expected"), [(3.0, 0.5), (-1.0, 0.001), (0.2, 0.2)])
def test_o7_the_temperature_is_kept_in_its_range(start: float, expected: float) -> None:
    for momentum, released in product([True, False], [True, False]):
        model = build(momentum=momentum, cnn=None)
        with torch.no_grad():
            model.temperature.fill_(start)
        objective(Switches(temperature_as_released=released)).before_step(model)
        left_alone = released and not momentum
        assert model.temperature.item() == pytest.approx(start if left_alone else expected)


@torch.no_grad()
def test_o8_the_released_cnn_term_is_not_normalised_and_diagonal_without_momentum() -> None:
    model, batch = build(momentum=False), make_batch()
    assert model.cnn_branch is not None
    image = model.encode_image(batch.image_weak).embedding
    text = model.encode_text(batch.augmented_ids, batch.augmented_mask).embedding
    cnn = model.cnn_branch(batch.image_cnn)
    one = pair(image, text, batch.identity, model.temperature)
    released = one + pair(image, cnn, torch.arange(SIZE), model.temperature)
    clean = (one + 0.5 * pair(image, F.normalize(cnn, dim=-1), batch.identity, model.temperature)) / 1.5
    found = terms(model, batch, objective(with_switch("cnn_term_as_released")))["contrastive"]
    assert found == pytest.approx(released.item(), abs=1e-5)
    assert terms(model, batch, objective())["contrastive"] == pytest.approx(clean.item(), abs=1e-5)


@torch.no_grad()
def test_o8_a_cnn_with_timms_own_head_is_always_normalised() -> None:
    model = build(cnn=CnnConfig("test_convnext", "timm", 32, 32, pretrained=False))
    released = terms(model, make_batch(), objective(with_switch("cnn_term_as_released")))
    assert released == pytest.approx(terms(model, make_batch(), objective()))


# Several processes


class Processes:
    """Two processes played one after the other: what the first gathers is kept for the second, and back."""

    def __init__(self) -> None:
        self.sent: list[list[Tensor]] = [[], []]

    def gather(self, rank: int, calls: list[Tensor]) -> Callable[[Tensor], Tensor]:
        def gather(local: Tensor) -> Tensor:
            calls.append(local.detach())
            if not self.sent[1 - rank]:
                return torch.cat([local, local.detach()])
            other = self.sent[1 - rank][len(calls) - 1]
            return torch.cat([local, other] if rank == 0 else [other, local])

        return gather


def run_both(
    model: CFACK, config: ExperimentConfig, negatives: list[HardNegatives]
) -> list[dict[str, float]]:
    processes, results = Processes(), []
    with torch.no_grad():
        for rank in (0, 1):
            Objective(config, processes.gather(rank, processes.sent[rank]))(
                model, make_batch(rank), negatives[rank]
            )
        for rank in (0, 1):
            found = Objective(config, processes.gather(rank, []))(model, make_batch(rank), negatives[rank])
            results.append({name: term.item() for name, term in found.terms.items()})
    return results


@pytest.mark.parametrize("pairs", ["contrastive", "sdm"])
def test_two_processes_see_the_losses_of_one_with_both_batches(pairs: str) -> None:
    model, batches = build(), [make_batch(0), make_batch(1)]
    both = TrainingBatch(
        *(torch.cat([getattr(batch, field.name) for batch in batches]) for field in fields(TrainingBatch))
    )
    rows = torch.tensor([5, 6, 7, 4, 1, 2, 3, 0])  # each pair's negatives are the other process's
    halves = [HardNegatives(half, half, EVERY, EVERY) for half in rows.split(SIZE)]
    config = ExperimentConfig(loss=LossConfig(pairs=pairs))

    with torch.no_grad():
        whole = Objective(config)(
            model, both, HardNegatives(rows, rows, EVERY.repeat(2), EVERY.repeat(2))
        ).terms
    first, second = run_both(model, config, halves)
    assert first["contrastive"] == pytest.approx(whole["contrastive"].item(), abs=1e-4)
    assert second["contrastive"] == pytest.approx(whole["contrastive"].item(), abs=1e-4)
    matching = (first["matching"] + second["matching"]) / 2
    assert matching == pytest.approx(whole["matching"].item(), abs=1e-5)


def test_o19_negatives_are_looked_for_in_all_processes_or_only_here() -> None:
    """Every pair here is of one person; the other process has the only possible negatives."""
    batch = make_batch(identity=torch.zeros(SIZE, dtype=torch.int64))

    def two(local: Tensor) -> Tensor:
        other = local.detach().flip(0)
        return torch.cat([local, other + 1 if local is batch.identity else other])

    model, seen = build(cnn=None, mlm=False), []
    model.matching_head.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    for switches in (Switches(), Switches(local_negatives=True)):
        torch.manual_seed(0)
        found = Objective(ExperimentConfig(switches=switches), two)(model, batch).terms["matching"]
        positives = F.cross_entropy(seen[-1][:SIZE], torch.ones(SIZE, dtype=torch.int64))
        everything = F.cross_entropy(seen[-1], torch.tensor([1] * SIZE + [0] * 2 * SIZE))
        torch.testing.assert_close(found, positives if switches.local_negatives else everything)
    assert torch.allclose(seen[0][:SIZE], seen[1][:SIZE])


def test_the_temperature_can_be_kept_where_it_starts() -> None:
    model = build()
    objective(learn_temperature=False).prepare(model)
    assert not model.temperature.requires_grad
    objective().prepare(model)
    assert model.temperature.requires_grad


def test_several_negatives_give_the_mean_of_each_alone() -> None:
    """With two negatives of each kind, matching averages 5 B pairs; with one, 3 B: their sums agree."""
    model, config, batch = build(), ExperimentConfig(), make_batch(0)
    other = HardNegatives(torch.tensor([2, 3, 0, 1]), torch.tensor([1, 2, 3, 0]), EVERY, EVERY)
    both = HardNegatives(
        torch.cat([NEGATIVES.image, other.image]), torch.cat([NEGATIVES.text, other.text]),
        EVERY.repeat(2), EVERY.repeat(2),
    )  # fmt: skip
    none = HardNegatives(NEGATIVES.image, NEGATIVES.text, ~EVERY, ~EVERY)
    with torch.no_grad():
        one, two, all_, positives = (
            Objective(config)(model, batch, drawn).terms["matching"].item()
            for drawn in (NEGATIVES, other, both, none)
        )
    assert 5 * all_ == pytest.approx(3 * one + 3 * two - positives, abs=1e-5)


def test_the_objective_draws_as_many_negatives_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[HardNegatives] = []
    original = losses.sample_hard_negatives

    def record(*arguments: Any, **options: Any) -> HardNegatives:
        drawn.append(original(*arguments, **options))
        return drawn[-1]

    monkeypatch.setattr(losses, "sample_hard_negatives", record)
    config = ExperimentConfig(loss=LossConfig(negatives_per_pair=3))
    terms = Objective(config)(build(), make_batch(0)).terms
    assert drawn[0].image.shape == (3 * SIZE,)
    assert terms["matching"].isfinite()
