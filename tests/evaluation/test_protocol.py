import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from cfack.evaluation import evaluate
from cfack.modeling import normalize_pixels
from cfack_runtime.errors import DataError, ImageError, UsageError
from cfack_runtime.images import load_image


def percent(*values):
    return pytest.approx(100 * sum(values) / len(values))


# Cosines of "red" with red, orange, green, lime: 1, 0.8, 0, 0.6; of "orange": 0.8, 1, 0.6, 0.96.
# In rank order the identities are 1 2 3 1 for "red", and 2 3 1 1 for "orange", asked for identity 1.


def test_the_dual_encoder_figures_worked_out_by_hand(color_model, tokenizer, color_split):
    result = evaluate(color_model, tokenizer, color_split, rerank=0)
    assert (result.dataset, result.split) == ("colors", "test")
    assert (result.queries, result.gallery, result.identities, result.candidates) == (2, 4, 3, 0)
    assert (result.dual.r1, result.dual.r5, result.dual.r10) == (50, 100, 100)
    assert result.dual.mean_ap == percent((1 + 2 / 4) / 2, (1 / 3 + 2 / 4) / 2)
    assert result.dual.mean_inp == percent(2 / 4, 2 / 4)
    assert result.reranked is None
    assert result.candidate_recall is None


def test_reranking_orders_the_candidates_and_leaves_the_tail(color_model, tokenizer, color_split):
    # By green: "red" orange red | lime green, identities 2 1 3 1; "orange" lime orange | red green, 3 2 1 1.
    result = evaluate(color_model, tokenizer, color_split, rerank=2)
    assert result.candidates == 2
    assert result.dual.r1 == 50
    assert result.reranked.r1 == 0
    assert result.reranked.mean_ap == percent((1 / 2 + 2 / 4) / 2, (1 / 3 + 2 / 4) / 2)
    assert result.reranked.mean_inp == percent(2 / 4, 2 / 4)


def test_the_official_fill_leaves_the_tail_in_gallery_order(color_model, tokenizer, color_split):
    # "red" orange red | green lime, identities 2 1 1 3; "orange" lime orange | red green, 3 2 1 1.
    result = evaluate(color_model, tokenizer, color_split, rerank=2, official=True)
    assert result.official
    assert result.reranked.mean_ap == percent((1 / 2 + 2 / 3) / 2, (1 / 3 + 2 / 4) / 2)
    assert result.reranked.mean_inp == percent(2 / 3, 2 / 4)


@pytest.mark.parametrize(("rerank", "recall"), [(1, 50), (2, 50), (3, 100)])
def test_candidate_recall_is_what_the_first_stage_lets_through(
    color_model, tokenizer, color_split, rerank, recall
):
    assert evaluate(color_model, tokenizer, color_split, rerank=rerank).candidate_recall == recall


def test_more_candidates_than_images_rerank_the_whole_gallery(color_model, tokenizer, color_split):
    result = evaluate(color_model, tokenizer, color_split, rerank=128)
    assert result.candidates == 4
    # By green: green lime orange red, identities 1 3 2 1, for both.
    assert result.reranked.r1 == 100
    assert result.reranked.mean_ap == percent((1 + 2 / 4) / 2)
    official = evaluate(color_model, tokenizer, color_split, rerank=128, official=True)
    assert official.reranked == result.reranked


def test_an_image_meets_all_captions_that_list_it_in_batches(color_model, tokenizer, color_split):
    evaluate(color_model, tokenizer, color_split, rerank=4, batch_size=1)
    assert color_model.pairs == [(1, 1)] * 8
    color_model.pairs.clear()
    evaluate(color_model, tokenizer, color_split, rerank=4, batch_size=3)
    assert color_model.pairs == [(2, 1)] * 4


def test_tokens_that_do_not_fit_in_memory_are_made_again(color_model, tokenizer, color_split):
    kept = evaluate(color_model, tokenizer, color_split, rerank=2, batch_size=1)
    assert color_model.images_encoded == 4
    color_model.images_encoded = 0
    # Two images of 2 tokens of 3 floats fit.
    again = evaluate(color_model, tokenizer, color_split, rerank=2, batch_size=1, keep_bytes=2 * 24)
    assert color_model.images_encoded == 4 + 2
    assert replace(again, seconds=0) == replace(kept, seconds=0)


def test_images_are_encoded_once_without_reranking(color_model, tokenizer, color_split):
    evaluate(color_model, tokenizer, color_split, rerank=0, batch_size=3)
    assert color_model.images_encoded == 4
    assert color_model.pairs == []


@pytest.mark.parametrize(("rerank", "total"), [(0, 2 + 4), (2, 2 + 4 + 4)])
def test_progress_ends_at_its_total_and_never_goes_back(color_model, tokenizer, color_split, rerank, total):
    calls = []
    evaluate(
        color_model,
        tokenizer,
        color_split,
        rerank=rerank,
        batch_size=1,
        progress=lambda *call: calls.append(call),
    )
    assert calls == sorted(calls)
    assert calls[-1] == (total, total)
    assert {of for _, of in calls} == {total}


def test_the_result_survives_json(color_model, tokenizer, color_split):
    result = evaluate(color_model, tokenizer, color_split, rerank=2)
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["reranked"]["mean_ap"] == result.reranked.mean_ap
    assert plain["dual"]["r1"] == 50
    assert plain["candidate_recall"] == 50
    assert set(plain) == set(vars(result))


def test_every_module_gets_its_own_mode_back(tiny_model, tokenizer, noise_split):
    tiny_model.train()
    tiny_model.fusion_encoder.eval()
    before = {name: module.training for name, module in tiny_model.named_modules()}
    evaluate(tiny_model, tokenizer, noise_split, rerank=2)
    assert {name: module.training for name, module in tiny_model.named_modules()} == before
    with pytest.raises(ImageError):
        evaluate(tiny_model, tokenizer, replace(noise_split, image_root=noise_split.image_root / "gone"))
    assert {name: module.training for name, module in tiny_model.named_modules()} == before


def test_a_model_in_training_gives_the_same_figures_twice_and_still_trains(
    tiny_model, tokenizer, noise_split
):
    tiny_model.train()
    first = evaluate(tiny_model, tokenizer, noise_split, rerank=3)
    second = evaluate(tiny_model, tokenizer, noise_split, rerank=3)
    assert replace(first, seconds=0) == replace(second, seconds=0)
    tiny_model.encode_image(torch.zeros(1, 3, 32, 16)).embedding.sum().backward()


@pytest.mark.parametrize(("rerank", "batch_size", "keep_bytes"), [(4, 3, 1 << 20), (4, 64, 0), (11, 1, 1000)])
def test_figures_are_those_of_judging_pair_by_pair(
    tiny_model, tokenizer, noise_split, rerank, batch_size, keep_bytes
):
    queries = [(caption, record.identity) for record in noise_split.records for caption in record.captions]
    first_hits, precisions, penalties = [], [], []
    with torch.no_grad():
        tiny_model.eval()
        images = [
            tiny_model.encode_image(normalize_pixels(torch.from_numpy(load_image(path, 32, 16))[None]))
            for path in map(noise_split.path, range(11))
        ]
        for caption, identity in queries:
            encoded = tokenizer.encode([caption])
            ids, mask = map(torch.from_numpy, (encoded.input_ids, encoded.attention_mask))
            text = tiny_model.encode_text(ids, mask)
            cosines = [float(text.embedding[0] @ image.embedding[0]) for image in images]
            order = sorted(range(11), key=lambda place: -cosines[place])
            head = order[:rerank]
            logits = {
                place: float(tiny_model.match(text.tokens, mask, images[place].tokens)[0, 1])
                for place in head
            }
            order = sorted(head, key=lambda place: -logits[place]) + order[rerank:]
            ranks = [
                rank for rank, place in enumerate(order, 1) if noise_split.records[place].identity == identity
            ]
            first_hits.append(ranks[0])
            precisions.append(np.mean([found / rank for found, rank in enumerate(ranks, 1)]))
            penalties.append(len(ranks) / ranks[-1])
    result = evaluate(
        tiny_model, tokenizer, noise_split, rerank=rerank, batch_size=batch_size, keep_bytes=keep_bytes
    )
    assert result.reranked.r1 == percent(*(hit <= 1 for hit in first_hits))
    assert result.reranked.r5 == percent(*(hit <= 5 for hit in first_hits))
    assert result.reranked.mean_ap == percent(*precisions)
    assert result.reranked.mean_inp == percent(*penalties)


def test_several_blocks_of_queries_give_the_same(monkeypatch, tiny_model, tokenizer, noise_split):
    for official in (False, True):
        whole = evaluate(tiny_model, tokenizer, noise_split, rerank=3, official=official)
        with monkeypatch.context() as patch:
            patch.setattr("cfack.evaluation.trial._QUERY_BLOCK", 2)
            blocked = evaluate(tiny_model, tokenizer, noise_split, rerank=3, official=official)
        assert replace(whole, seconds=0) == replace(blocked, seconds=0)


def test_autocast_around_the_call_is_honoured(tiny_model, tokenizer, noise_split):
    seen = []
    hook = tiny_model.fusion_encoder.layers[0].cross_attention.query.register_forward_hook(
        lambda _module, _inputs, output: seen.append(output.dtype)
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        evaluate(tiny_model, tokenizer, noise_split, rerank=2)
    hook.remove()
    assert set(seen) == {torch.bfloat16}


def test_a_broken_model_is_an_error_and_no_figure(tiny_model, tokenizer, noise_split):
    with torch.no_grad():
        tiny_model.text_projection.bias.fill_(torch.nan)
    with pytest.raises(DataError, match="query 0 and gallery image 0 is NaN"):
        evaluate(tiny_model, tokenizer, noise_split, rerank=2)


def test_a_missing_image_is_named(color_model, tokenizer, color_split):
    (color_split.image_root / "green.png").unlink()
    with pytest.raises(ImageError, match=r"green\.png: no such file"):
        evaluate(color_model, tokenizer, color_split)


def test_an_empty_caption_is_shown(color_model, tokenizer, color_split):
    records = (replace(color_split.records[0], captions=("red", "!?")), *color_split.records[1:])
    with pytest.raises(DataError, match=r"caption 1: caption '!\?' is empty"):
        evaluate(color_model, tokenizer, replace(color_split, records=records))


@pytest.mark.parametrize("side", ["captions", "records"])
def test_a_split_with_nothing_to_measure_is_an_error(color_model, tokenizer, color_split, side):
    records = (
        tuple(replace(record, captions=()) for record in color_split.records) if side == "captions" else ()
    )
    with pytest.raises(DataError, match="test split of colors holds no captions"):
        evaluate(color_model, tokenizer, replace(color_split, records=records))


def test_senseless_options_are_refused(color_model, tokenizer, color_split):
    with pytest.raises(UsageError, match="official"):
        evaluate(color_model, tokenizer, color_split, rerank=0, official=True)
    with pytest.raises(UsageError, match="rerank must be 0 or more, got -1"):
        evaluate(color_model, tokenizer, color_split, rerank=-1)
    with pytest.raises(UsageError, match="batch_size must be 1 or more, got 0"):
        evaluate(color_model, tokenizer, color_split, batch_size=0)
