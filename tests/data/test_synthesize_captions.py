import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from cfack.data.synthesize.attributes import Item, Person, draw_person
from cfack.data.synthesize.grammar import Caption, describe
from cfack.data.synthesize.palette import Colour, meanings
from cfack.data.synthesize.phrases import article, profile
from cfack.data.synthesize.render import Shot, draw_shot
from cfack.data.synthesize.wording import kinds_called

SEED = 0
PEOPLE = {identity: draw_person(SEED, identity) for identity in range(100)}


def captions() -> Iterator[tuple[int, Person, Shot, Caption]]:
    for identity, person in PEOPLE.items():
        for index in range(2):
            shot = draw_shot(person, SEED, identity, index)
            for number in range(2):
                yield identity, person, shot, describe(person, shot, (SEED, identity, index, number))


def test_all_drawn_people_differ() -> None:
    profiles = [tuple(sorted(profile(person).items())) for person in PEOPLE.values()]
    assert len(set(profiles)) == len(profiles)


def test_every_claim_of_a_caption_is_true() -> None:
    for _, person, _, caption in captions():
        attributes = profile(person)
        for fact in caption.facts:
            assert attributes[fact.slot] in fact.values, (caption.text, fact)


def test_a_reader_who_sees_every_attribute_finds_most_people() -> None:
    profiles = {identity: profile(person) for identity, person in PEOPLE.items()}
    hits, total = 0.0, 0
    for identity, _, _, caption in captions():
        agreement = {
            other: sum(attributes[fact.slot] in fact.values for fact in caption.facts)
            for other, attributes in profiles.items()
        }
        best = [other for other, score in agreement.items() if score == max(agreement.values())]
        hits += (identity in best) / len(best)
        total += 1
    assert hits / total >= 0.9


def test_captions_mention_some_attributes_and_leave_others_out() -> None:
    counts = [len({fact.slot for fact in caption.facts}) for _, _, _, caption in captions()]
    assert 7 <= sum(counts) / len(counts) <= 11
    assert max(counts) < len(profile(PEOPLE[0]))


def test_captions_of_one_image_differ_in_words() -> None:
    person = PEOPLE[1]
    shot = draw_shot(person, SEED, 1, 0)
    texts = {describe(person, shot, (SEED, 1, 0, number)).text for number in range(10)}
    assert len(texts) == 10


def test_pronouns_agree_with_the_person() -> None:
    for _, person, _, caption in captions():
        words = set(re.findall(r"[a-z]+", caption.text.lower()))
        wrong = {"he", "his", "him", "man"} if person.female else {"she", "her", "woman"}
        assert not words & wrong, caption.text


def test_every_template_is_filled_in_and_every_sentence_begins_and_ends_like_one() -> None:
    for _, _, _, caption in captions():
        assert not re.search(r"[{}]|None|\ba [aeio]|  \S+  |,,|\.\.", caption.text), caption.text
        assert caption.text == caption.text.strip()
        assert "." in caption.text or len(caption.text.split()) > 5


def test_people_write_untidily_now_and_then() -> None:
    texts = [caption.text for _, _, _, caption in captions()]
    assert any(not text.endswith(".") for text in texts)
    assert any(text[0].islower() for text in texts)
    assert any("\u2019" in text for text in texts)


def test_nobody_speaks_of_what_is_hidden_from_behind() -> None:
    black = Colour("black", (0, 0, 0))
    person = replace(PEOPLE[0], glasses="sunglasses", inner=black, headwear=Item("cap", black))
    behind = next(
        shot
        for shot in (draw_shot(person, SEED, 0, index) for index in range(50))
        if shot.pose.direction == "back"
    )
    slots: set[str] = set()
    for number in range(60):
        slots |= {fact.slot for fact in describe(person, behind, (number,)).facts}
    assert "headwear" in slots
    assert not slots & {"glasses", "inner"}


@pytest.mark.parametrize("least", [12, 23, 35])
def test_a_caption_grows_to_the_words_it_needs(least: int) -> None:
    for identity, person in list(PEOPLE.items())[:40]:
        caption = describe(person, draw_shot(person, SEED, identity, 0), (identity,), least)
        assert len(caption.text.split()) >= least


def test_words_mean_every_thing_that_they_may_be_said_of() -> None:
    assert meanings("navy blue") == {"navy"}
    assert {"black", "navy"} <= meanings("dark")
    assert {"blue", "light blue", "navy"} == meanings("blue")
    assert {"jeans", "trousers"} == kinds_called("pants")
    assert article("orange bag") == "an orange bag"
    assert article("red bag") == "a red bag"
