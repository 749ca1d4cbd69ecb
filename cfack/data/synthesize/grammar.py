"""Captions: which attributes somebody mentions about one image, in which order and in which sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfack.data.synthesize import wording
from cfack.data.synthesize.openings import OPENING_WEIGHTS, OPENINGS, join
from cfack.data.synthesize.phrases import Fact, Speaker
from cfack.data.synthesize.randomness import chance, pick, stream
from cfack.data.synthesize.topics import Mentions, draw_topics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfack.data.synthesize.attributes import Person
    from cfack.data.synthesize.render import Shot


@dataclass(frozen=True)
class Caption:
    """A sentence or several about one image, and everything they claim about the identity."""

    text: str
    facts: tuple[Fact, ...]


def describe(person: Person, shot: Shot, key: Sequence[str | int], min_words: int = 12) -> Caption:
    """Write one caption.

    Args:
        person: Who is seen.
        shot: How; from behind, neither face nor logo is spoken of.
        key: Names the caption: the same key gives the same words.
        min_words: Topics and then remarks are added until the caption has as many words, if it can.
    """
    topics, spare = draw_topics(person, shot, key)
    remarks = list(wording.REMARKS[shot.pose.direction])
    chosen: list[tuple[str, ...]] = []
    caption = _write(person, shot, key, topics, chosen)
    while len(caption.text.split()) < min_words and (spare or remarks):
        if spare:
            topics.add(spare.pop())
        else:
            chosen.append(remarks.pop(0))
        caption = _write(person, shot, key, topics, chosen)
    return caption


def _write(
    person: Person, shot: Shot, key: Sequence[str | int], topics: set[str], remarks: list[tuple[str, ...]]
) -> Caption:
    """The caption about the given topics, with remarks at its end."""
    rng = stream("words", *key)
    speaker = Speaker(rng, person, neutral=chance(rng, 6))
    said = Mentions(speaker, shot, topics)
    sentences = OPENINGS[pick(rng, OPENING_WEIGHTS)](speaker, said)
    sentences += _rest(speaker, said)
    sentences += [speaker.choose(remark) for remark in remarks]
    return Caption(_finish(speaker, sentences), tuple(said.facts))


def _rest(speaker: Speaker, said: Mentions) -> list[str]:
    """Sentences about everything that the opening left out."""
    sentences: list[str] = []
    subject = speaker.subject
    hair, worn, carried, doing = said.take("hair"), said.worn(speaker), said.carried(), said.doing(speaker)
    if hair is not None:
        sentences.append(f"{subject} has {hair}.")
    if worn:
        verb = speaker.choose(("is wearing", "wears", "is also wearing", "has on"))
        sentences.append(f"{subject} {verb} {join(speaker, worn)}.")
    if carried:
        verb = speaker.choose(("is carrying", "carries", "is carrying", "has"))
        sentences.append(f"{subject} {verb} {join(speaker, carried)}.")
    if doing is not None:
        sentences.append(f"{subject} is {doing}.")
    gesture = said.take("gesture")
    if gesture is not None:
        sentences.append(gesture)
    if len(sentences) > 1 and chance(speaker.rng, 30):
        speaker.rng.shuffle(sentences)
    return sentences


def _finish(speaker: Speaker, sentences: list[str]) -> str:
    """Put sentences together with the small liberties that people take."""
    rng = speaker.rng
    text = ("  " if chance(rng, 3) else " ").join(sentences)
    if chance(rng, 4):
        text = text.lower()
    if chance(rng, 7):
        text = text.removesuffix(".")
    if chance(rng, 5):
        text = text.replace("He is", "He\u2019s").replace("She is", "She\u2019s")
    return text
