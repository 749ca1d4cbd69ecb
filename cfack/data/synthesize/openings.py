"""The first sentences of captions, each built in an order that people use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfack.data.synthesize.phrases import article
from cfack.data.synthesize.randomness import chance

if TYPE_CHECKING:
    from cfack.data.synthesize.phrases import Speaker
    from cfack.data.synthesize.topics import Mentions


def join(speaker: Speaker, parts: list[str]) -> str:
    """A list as people write it, with or without the last comma."""
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        return speaker.choose(
            (f"{parts[0]} and {parts[1]}", f"{parts[0]} with {parts[1]}", f"{parts[0]} and {parts[1]}")
        )
    comma = "," if chance(speaker.rng, 55) else ""
    return f"{', '.join(parts[:-1])}{comma} and {parts[-1]}"


def _plain(speaker: Speaker, said: Mentions) -> list[str]:
    """A man with short black hair is wearing a red shirt, jeans and white shoes."""
    start = speaker.choose(("A", "The", "A", "This"))
    who = said.who(speaker)
    hair = said.take("hair")
    with_hair = f" with {hair}" if hair else ""
    worn = join(speaker, said.worn(speaker, 3 + speaker.rng.randrange(3)))
    subject = article(who).capitalize() if start == "A" else f"{start} {who}"
    verbs = ("is wearing", "wears", "is dressed in", "is wearing") + (("wearing",) if start == "A" else ())
    return [f"{subject}{with_hair} {speaker.choose(verbs)} {worn}."]


def _in_clothes(speaker: Speaker, said: Mentions) -> list[str]:
    """A woman in a long coat walking to the left, carrying a bag."""
    who = article(said.who(speaker)).capitalize()
    worn = join(speaker, said.worn(speaker, 2 + speaker.rng.randrange(3)))
    doing, carried = said.doing(speaker), said.carried()
    text = f"{who} {speaker.choose(('in', 'wearing', 'dressed in', 'in'))} {worn}"
    if doing is not None:
        text += f" {speaker.choose(('is ', ''))}{doing}"
    if carried:
        link = speaker.choose((", carrying", " carrying", " and carrying", " with"))
        text += f"{link} {join(speaker, carried)}"
    return [f"{text}."]


def _hair_first(speaker: Speaker, said: Mentions) -> list[str]:
    """The man has black hair and wears a shirt."""
    who, hair = said.who(speaker), said.take("hair")
    worn = join(speaker, said.worn(speaker, 1 + speaker.rng.randrange(3)))
    verb = speaker.choose(("is wearing", "wears", "has on"))
    middle = f"has {hair} and {verb}" if hair else verb
    return [f"{speaker.choose(('The', 'This'))} {who} {middle} {worn}."]


def _worn_first(speaker: Speaker, said: Mentions) -> list[str]:
    """Wearing a red jacket and jeans, the woman is walking away."""
    worn = join(speaker, said.worn(speaker, 2 + speaker.rng.randrange(2)))
    who, doing, carried = said.who(speaker), said.doing(speaker), said.carried()
    start = f"{speaker.choose(('Wearing', 'Dressed in'))} {worn}, {speaker.choose(('the', 'this'))} {who}"
    if doing is not None:
        return [f"{start} is {doing}{' with ' + join(speaker, carried) if carried else ''}."]
    if carried:
        return [f"{start} {speaker.choose(('carries', 'is carrying'))} {join(speaker, carried)}."]
    hair = said.take("hair")
    return [
        f"{start} has {hair}."
        if hair
        else f"{start} is {speaker.choose(('walking', 'out walking', 'alone'))}."
    ]


def _notes(speaker: Speaker, said: Mentions) -> list[str]:
    """Man with short hair, red shirt, jeans, and a backpack."""
    who, hair = said.who(speaker).capitalize(), said.take("hair")
    parts = ([hair] if hair else []) + said.worn(speaker)
    if hair or chance(speaker.rng, 50):
        parts += said.carried()
    if chance(speaker.rng, 40):
        parts = [part.removeprefix("a ").removeprefix("an ") for part in parts]
    return [f"{who} {'with' if hair else speaker.choose(('with', 'wearing', 'in'))} {join(speaker, parts)}."]


def _doing_first(speaker: Speaker, said: Mentions) -> list[str]:
    """Walking to the left, a man carries a red bag. He is wearing ..."""
    doing, who = said.doing(speaker), said.who(speaker)
    if doing is None:
        opening = speaker.choose(("There is", "This is", "I see", "The picture shows"))
        verb = speaker.choose(("in", "wearing"))
        return [f"{opening} {article(who)} {verb} {join(speaker, said.worn(speaker, 2))}."]
    hair = said.take("hair")
    subject = f"{article(who)} with {hair}" if hair else article(who)
    worn = join(speaker, said.worn(speaker, 2 + speaker.rng.randrange(2)))
    return [f"{doing[0].upper()}{doing[1:]}, {subject} wears {worn}."]


def _carried_first(speaker: Speaker, said: Mentions) -> list[str]:
    """Carrying a black backpack, the man wears a shirt."""
    carried = said.carried()
    if not carried:
        return _in_clothes(speaker, said)
    who, hair = said.who(speaker), said.take("hair")
    with_hair = f" with {hair}" if hair else ""
    worn = join(speaker, said.worn(speaker, 2 + speaker.rng.randrange(3)))
    return [f"{speaker.choose(('Carrying', 'With'))} {join(speaker, carried)}, the {who}{with_hair} "
            f"{speaker.choose(('is wearing', 'wears'))} {worn}."]  # fmt: skip


OPENINGS = {
    "plain": _plain,
    "in clothes": _in_clothes,
    "hair first": _hair_first,
    "worn first": _worn_first,
    "notes": _notes,
    "doing first": _doing_first,
    "carried first": _carried_first,
}
OPENING_WEIGHTS = {
    "plain": 34,
    "in clothes": 20,
    "hair first": 14,
    "worn first": 8,
    "notes": 8,
    "doing first": 9,
    "carried first": 7,
}
