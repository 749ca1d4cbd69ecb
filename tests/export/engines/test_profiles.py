"""Which shapes an engine is built for."""

from __future__ import annotations

import pytest

from cfack_export.engines import BatchRange, EngineOptions, ProfileSettings, graph_profiles
from cfack_export.engines.profiles import default_pairs
from cfack_runtime.encoders import IMAGE_BATCH, TEXT_BATCH, pair_batch
from cfack_runtime.engine import check_profile
from cfack_runtime.errors import UsageError
from cfack_runtime.graph_contract import graph_signatures, rewrite_signatures
from cfack_runtime.manifest import Geometry

BASE = Geometry(384, 384, 577, 768, 768, 256, 40, 30522)
INPUTS = {
    name: signature[0] for name, signature in {**graph_signatures(BASE), **rewrite_signatures(BASE)}.items()
}


@pytest.mark.parametrize("graph", INPUTS)
def test_profiles_fit_their_graph(graph: str) -> None:
    for profile in graph_profiles(graph, INPUTS[graph], BASE.max_tokens, ProfileSettings()):
        check_profile(profile, INPUTS[graph], graph)


def test_an_image_has_one_profile() -> None:
    (profile,) = graph_profiles("image_encoder", INPUTS["image_encoder"], 40, ProfileSettings())
    shapes = profile["pixels"]
    assert (shapes.min, shapes.opt, shapes.max) == ((1, 384, 384, 3), (8, 384, 384, 3), (32, 384, 384, 3))


def test_every_length_belongs_to_one_bucket() -> None:
    settings = ProfileSettings(texts=BatchRange(1, 2, 4))
    profiles = graph_profiles("text_encoder", INPUTS["text_encoder"], 40, settings)
    assert [(p["input_ids"].min, p["input_ids"].opt, p["input_ids"].max) for p in profiles] == [
        ((1, 2), (2, 16), (4, 16)),
        ((1, 17), (2, 32), (4, 32)),
        ((1, 33), (2, 40), (4, 40)),
    ]
    for length in range(2, 41):
        assert sum(profile["attention_mask"].contains((1, length)) for profile in profiles) == 1


@pytest.mark.parametrize(
    ("buckets", "longest", "ends"),
    [((), 40, [40]), ((16, 32), 32, [16, 32]), ((16, 32, 64), 20, [16, 20]), ((16,), 12, [12])],
)
def test_the_last_bucket_ends_with_the_model(buckets: tuple[int, ...], longest: int, ends: list[int]) -> None:
    settings = ProfileSettings(length_buckets=buckets)
    profiles = graph_profiles("text_encoder", INPUTS["text_encoder"], longest, settings)
    assert [profile["input_ids"].max[1] for profile in profiles] == ends


def test_a_rewrite_keeps_its_batch_of_one() -> None:
    profile = graph_profiles("reranker_one_text", INPUTS["reranker_one_text"], 40, ProfileSettings())[0]
    assert profile["text_tokens"].max == (1, 16, 768)
    assert profile["image_tokens"].max == (75, 577, 768)
    profile = graph_profiles("reranker_one_image", INPUTS["reranker_one_image"], 40, ProfileSettings())[0]
    assert profile["text_tokens"].max == (75, 16, 768)
    assert profile["image_tokens"].max == (1, 577, 768)


@pytest.mark.parametrize("values", [64, 33 * 64, 577 * 768, 1025 * 1024])
def test_the_batches_that_the_runtime_sends_by_itself_fit(values: int) -> None:
    assert default_pairs(values).max >= pair_batch(values, "cuda")
    assert ProfileSettings().images.max >= IMAGE_BATCH
    assert ProfileSettings().texts.max >= TEXT_BATCH


@pytest.mark.parametrize("buckets", [(32, 16), (16, 16), (1,), (-4, 8)])
def test_buckets_that_do_not_increase_are_refused(buckets: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="expected increasing numbers of tokens from 2"):
        graph_profiles("text_encoder", INPUTS["text_encoder"], 40, ProfileSettings(length_buckets=buckets))


@pytest.mark.parametrize("sizes", [(0, 1, 2), (2, 1, 3), (1, 3, 2)])
def test_batch_ranges_that_do_not_increase_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match="expected 1 <= min <= opt <= max"):
        BatchRange(*sizes)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="compatibility is 'all', expected none, ampere"):
        EngineOptions(compatibility="all")
    with pytest.raises(UsageError, match="workspace is 0 bytes"):
        EngineOptions(workspace=0)
    with pytest.raises(UsageError, match="optimization level is 6, expected 0 to 5"):
        EngineOptions(optimization_level=6)
