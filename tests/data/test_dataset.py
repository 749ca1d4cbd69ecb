from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from cfack.config import ExperimentConfig, Switches, with_overrides
from cfack.data.annotations import ImageRecord, Split
from cfack.data.dataset import TrainingSample, TrainingSet
from cfack_runtime.errors import ConfigError, DataError, ImageError
from cfack_runtime.images import load_image
from cfack_runtime.tokenizer import CaptionTokenizer

Content = Callable[[TrainingSample], tuple[object, ...]]


def words(tokenizer: CaptionTokenizer, ids: np.ndarray, length: int) -> str:
    return " ".join(tokenizer.tokens(ids[1 : length - 1])).replace(" ##", "")


def test_there_is_one_sample_per_caption(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    data = TrainingSet(split, config, tokenizer)
    assert len(data) == 11
    texts = [
        words(tokenizer, s.caption.original, s.caption.original_length)
        for s in map(data.__getitem__, range(3))
    ]
    assert texts[0].startswith("a man wearing a red jacket")
    assert texts[1].startswith("the woman has")
    assert texts[2].startswith("a tall person")


def test_identities_are_numbered_by_first_appearance(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    data = TrainingSet(split, config, tokenizer)
    assert data.num_identities == 3
    assert [data[i].identity for i in range(11)] == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]


def test_samples_follow_from_seed_epoch_and_index_alone(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer, content: Content
) -> None:
    data, again = TrainingSet(split, config, tokenizer), TrainingSet(split, config, tokenizer)
    first = [content(data[i]) for i in range(11)]
    assert [content(again[i]) for i in reversed(range(11))] == first[::-1]
    again.set_epoch(1)
    assert all(content(again[i]) != first[i] for i in range(11))
    again.set_epoch(0)
    assert content(again[4]) == first[4]
    other = with_overrides(config, train={"seed": 43})
    assert content(TrainingSet(split, other, tokenizer)[4]) != first[4]


def test_cached_images_change_no_sample(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer, content: Content
) -> None:
    steps = []
    for strong in ("randaugment", "uniform"):
        plain = with_overrides(config, augment={"strong": strong})
        cached = with_overrides(plain, data={"cache_images": True})
        data = TrainingSet(split, plain, tokenizer)
        kept = TrainingSet(split, cached, tokenizer, progress=lambda done, total: steps.append((done, total)))
        for i in range(11):
            assert content(kept[i]) == content(data[i])
    assert steps[:6] == [(i, 6) for i in range(1, 7)]


def test_the_weak_view_is_what_evaluation_sees(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    sample = TrainingSet(split, config, tokenizer)[0]
    expected = load_image(split.path(0), 96, 48)
    assert (sample.weak == expected).all()
    assert sample.cnn is not None
    assert (sample.cnn == expected).all()


def test_the_cnn_view_is_cropped_with_the_switch_and_absent_without_a_branch(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    official = replace(config, switches=Switches(cnn_centre_crop=True))
    sample = TrainingSet(split, official, tokenizer)[0]
    assert sample.cnn is not None
    assert sample.cnn.shape == (96, 48, 3)
    assert not (sample.cnn == sample.weak).all()
    assert TrainingSet(split, with_overrides(config, model={"cnn": None}), tokenizer)[0].cnn is None


def test_original_captions_are_normalised_unless_as_released(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    caption = split.records[0].captions[0]
    clean = TrainingSet(split, config, tokenizer)[0].caption
    assert clean.original.tolist() == tokenizer.encode([caption], pad_to=40).input_ids[0].tolist()
    raw = TrainingSet(split, replace(config, switches=Switches(raw_original_caption=True)), tokenizer)[
        0
    ].caption
    expected = tokenizer.encode([caption], normalize=False, pad_to=40)
    assert raw.original.tolist() == expected.input_ids[0].tolist()
    assert raw.original_length == clean.original_length + 2  # a comma and a full stop, unknown pieces
    assert len(raw.original) == 40


def test_without_text_augmentation_both_captions_are_the_same(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    caption = TrainingSet(split, with_overrides(config, augment={"text": "none"}), tokenizer)[5].caption
    assert caption.augmented.tolist() == caption.original.tolist()
    assert caption.augmented_length == caption.original_length


def test_eda_changes_captions_with_the_synonyms_it_is_given(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    def synonyms(word: str) -> Sequence[str]:
        return ("sneakers phone",) if word == "jacket" else ()

    data = TrainingSet(split, config, tokenizer, synonyms=synonyms)
    texts: Counter[str] = Counter()
    for epoch in range(60):
        data.set_epoch(epoch)
        caption = data[0].caption
        texts[words(tokenizer, caption.augmented, caption.augmented_length)] += 1
    original = "a man wearing a red jacket blue jeans and white sneakers carries a black backpack"
    assert texts[original] >= 2
    assert texts[original.replace("jacket", "sneakers phone")] >= 5


def test_back_translations_take_the_place_of_captions(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    records = (
        ImageRecord("0.png", 1, ("a man", "a woman"), (("one red coat", "two red coats"), ())),
        ImageRecord("1.png", 1, ("a bag",)),
    )
    config = with_overrides(config, augment={"text": "back-translation"})
    data = TrainingSet(replace(split, records=records), config, tokenizer)
    texts = []
    for epoch in range(30):
        data.set_epoch(epoch)
        captions = [data[i].caption for i in range(3)]
        texts.append([words(tokenizer, c.augmented, c.augmented_length) for c in captions])
    assert {row[0] for row in texts} == {"one red coat", "two red coats"}
    assert {row[1] for row in texts} == {"a woman"}
    assert {row[2] for row in texts} == {"a bag"}


def test_back_translation_without_translations_is_refused_with_the_remedy(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    config = with_overrides(config, augment={"text": "back-translation"})
    with pytest.raises(ConfigError, match=r"the train split has none; add a `captions_bt` list"):
        TrainingSet(split, config, tokenizer)


def test_an_empty_back_translation_is_found_before_training(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    records = (*split.records[:2], ImageRecord("2.png", 7, ("a man",), (("...",),)))
    config = with_overrides(config, augment={"text": "back-translation"})
    with pytest.raises(
        DataError, match=r"train split, record 2 \(.*2\.png\): back-translation: caption '...' is empty"
    ):
        TrainingSet(replace(split, records=records), config, tokenizer)


def test_an_empty_caption_is_found_before_training_with_and_without_normalisation(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    records = (*split.records[:2], ImageRecord("2.png", 7, ("a man", "?!")))
    for switches in (Switches(), Switches.official()):
        with pytest.raises(DataError, match=r"train split, record 2 \(.*2\.png\): caption '\?!' is empty"):
            TrainingSet(replace(split, records=records), replace(config, switches=switches), tokenizer)


def test_masks_follow_the_switch_for_padding(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    released = TrainingSet(split, replace(config, switches=Switches(mask_padding_tokens=True)), tokenizer)
    clean = TrainingSet(split, config, tokenizer)
    assert max(last_masked(released[i]) for i in range(11)) > 30
    for sample in (clean[i] for i in range(11)):
        assert last_masked(sample) < sample.caption.original_length - 1


def last_masked(sample: TrainingSample) -> int:
    assert sample.caption.masked is not None
    return int(sample.caption.masked.positions.max())


def test_without_an_mlm_head_nothing_is_masked(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    data = TrainingSet(split, with_overrides(config, model={"mlm": False}), tokenizer)
    assert data[0].caption.masked is None


@pytest.mark.parametrize("zero_labels", [False, True])
def test_noun_masking_uses_the_tagger_and_its_switch(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer, zero_labels: bool
) -> None:
    def tagger(text: str) -> list[tuple[int, int]]:
        return [(text.find("jacket"), text.find("jacket") + 6)]

    config = replace(
        with_overrides(config, augment={"mask": "noun"}),
        switches=Switches(noun_labels_padded_with_zero=zero_labels),
    )
    caption = TrainingSet(split, config, tokenizer, tagger=tagger)[0].caption
    assert caption.masked is not None
    assert tokenizer.tokens(caption.masked.labels[:1]) == ["jacket"]
    assert set(caption.masked.labels[1:].tolist()) == ({0} if zero_labels else {-100})
    assert caption.masked.ids[caption.masked.positions[0]] == tokenizer.mask_id


def test_a_tokenizer_that_does_not_fit_the_model_is_refused(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    other = CaptionTokenizer.from_json(tokenizer.to_json(), 30)
    with pytest.raises(ConfigError, match=r"cuts captions at 30 tokens, but model\.text\.max_tokens is 40"):
        TrainingSet(split, config, other)
    small = with_overrides(config, model={"text": replace(config.model.text, vocab_size=50)})
    with pytest.raises(ConfigError, match=r"but model\.text\.vocab_size is only 50"):
        TrainingSet(split, small, tokenizer)


def test_an_image_that_cannot_be_read_is_named(
    split: Split, config: ExperimentConfig, tokenizer: CaptionTokenizer
) -> None:
    data = TrainingSet(split, config, tokenizer)
    split.path(1).write_bytes(b"broken")
    with pytest.raises(ImageError, match=r"1\.png: not a JPEG"):
        data[2]
    with pytest.raises(ImageError, match=r"1\.png: not a JPEG"):
        TrainingSet(split, with_overrides(config, data={"cache_images": True}), tokenizer)
