"""Turning attributes into phrases, and keeping book of what each phrase says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfack.data.synthesize import wording
from cfack.data.synthesize.palette import COLOUR_WORDS, HAIR_COLOUR_WORDS, Colour, meanings
from cfack.data.synthesize.randomness import chance, pick

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from cfack.data.synthesize.attributes import Garment, Item, Person


@dataclass(frozen=True)
class Fact:
    """What a phrase claims: that the attribute `slot` of the person is one of `values`."""

    slot: str
    values: frozenset[str]


@dataclass(frozen=True)
class Phrase:
    """Words and what they claim."""

    text: str
    facts: tuple[Fact, ...] = ()


def profile(person: Person) -> dict[str, str]:
    """Every attribute of a person by slot: what facts are compared with; "none" where there is nothing."""
    upper, lower = person.upper, person.lower or person.upper
    return {
        "sex": "female" if person.female else "male",
        "build": person.build,
        "hair style": person.hair_style,
        "hair colour": person.hair.name,
        "beard": "yes" if person.beard else "none",
        "upper": upper.kind,
        "upper colour": upper.colour.name,
        "upper pattern": upper.pattern,
        "upper accent": upper.accent.name if upper.accent else "none",
        "sleeves": person.sleeves,
        "inner": person.inner.name if person.inner else "none",
        "lower": lower.kind,
        "lower colour": lower.colour.name,
        "lower pattern": lower.pattern,
        "lower accent": lower.accent.name if lower.accent else "none",
        "glasses": person.glasses or "none",
        "scarf": person.scarf.name if person.scarf else "none",
        "umbrella": person.umbrella.name if person.umbrella else "none",
        **_item_slots("shoes", person.shoes),
        **_item_slots("bag", person.bag),
        **_item_slots("headwear", person.headwear),
    }


def _item_slots(slot: str, item: Item | None) -> dict[str, str]:
    if item is None:
        return {slot: "none", f"{slot} colour": "none"}
    return {slot: item.kind, f"{slot} colour": item.colour.name}


class Speaker:
    """One person describing another: draws words and keeps to the pronouns.

    Args:
        rng: Decides every word.
        person: Who is described.
        neutral: Whether the sex is left open ("a person").
    """

    def __init__(self, rng: random.Random, person: Person, *, neutral: bool) -> None:
        self.rng = rng
        self.person = person
        self.neutral = neutral
        if neutral:
            self.subject, self.possessive, self.object = "The person", "their", "them"
        elif person.female:
            self.subject, self.possessive, self.object = "She", "her", "her"
        else:
            self.subject, self.possessive, self.object = "He", "his", "him"

    def choose(self, words: Sequence[str]) -> str:
        """One of `words`, with pronouns and side filled in; {c}, a colour, is left open."""
        side = "left" if self.person.side > 0 else "right"
        chosen = words[self.rng.randrange(len(words))]
        for gap, filling in (
            ("{p}", self.possessive),
            ("{o}", self.object),
            ("{s}", side),
            ("{S}", self.subject),
        ):
            chosen = chosen.replace(gap, filling)
        return chosen

    def colour(self, slot: str, colour: Colour) -> tuple[str, Fact]:
        """A word for a colour."""
        table = HAIR_COLOUR_WORDS if slot == "hair colour" else COLOUR_WORDS
        word = pick(self.rng, table[colour.name])
        return word, Fact(slot, meanings(word, table))

    def noun(self, slot: str, kind: str) -> tuple[str, Fact]:
        """A word for a kind of thing."""
        word = self.choose(wording.KIND_WORDS[kind])
        return word, Fact(slot, wording.kinds_called(word))

    def who(self) -> Phrase:
        """The person as a noun without an article, as in "slim young man"."""
        if self.neutral:
            return Phrase(self.choose(("person", "person", "pedestrian", "individual")))
        noun = self.choose(wording.SEX_NOUNS[self.person.female])
        facts = [Fact("sex", frozenset({"female" if self.person.female else "male"}))]
        words = wording.BUILD_WORDS.get(self.person.build)
        if words is not None and chance(self.rng, 30) and not noun.startswith("young"):
            facts.append(Fact("build", frozenset({self.person.build})))
            noun = f"{self.choose(words)} {noun}"
        return Phrase(noun, tuple(facts))

    def hair(self) -> Phrase:
        """The hair, as what the person "has"."""
        style = self.person.hair_style
        text, facts = self.choose(wording.HAIR_WORDS[style]), [Fact("hair style", frozenset({style}))]
        if style != "bald":
            word, fact = self.colour("hair colour", self.person.hair)
            text = text.replace("{c}", word)
            facts.append(fact)
        if self.person.beard and chance(self.rng, 55):
            text += " and a beard"
            facts.append(Fact("beard", frozenset({"yes"})))
        return Phrase(text, tuple(facts))

    def garment(self, slot: str, garment: Garment, *, from_behind: bool) -> Phrase:
        """A garment with its colour and pattern, article included; some detail is left out now and then."""
        noun, kind_fact = self.noun(slot, garment.kind)
        colour, colour_fact = self.colour(f"{slot} colour", garment.colour)
        facts = [kind_fact]
        before, tail = "", ""
        if not chance(self.rng, 5):
            before = colour
            facts.append(colour_fact)
        shown = garment.accent is not None and not (garment.pattern == "logo" and from_behind)
        if garment.accent is not None and shown and not chance(self.rng, 18):
            facts.append(Fact(f"{slot} pattern", _patterns_like(garment.pattern)))
            accent, accent_fact = self.colour(f"{slot} accent", garment.accent)
            if garment.pattern == "logo" or (before and chance(self.rng, 45)):
                tail = self.choose(wording.PATTERN_TAILS[garment.pattern]).replace("{c}", accent)
                facts.append(accent_fact)
            else:
                word = self.choose(wording.PATTERN_WORDS[garment.pattern])
                if before and chance(self.rng, 55):
                    before = f"{before} and {accent}"
                    facts.append(accent_fact)
                before = f"{before} {word}".strip()
        if slot == "upper":
            before, noun = self._sleeves(before, noun, facts)
        return Phrase(self._with_article(f"{before} {noun} {tail}".strip(), garment.kind), tuple(facts))

    def _sleeves(self, before: str, noun: str, facts: list[Fact]) -> tuple[str, str]:
        sleeves = self.person.sleeves
        telling = (
            self.person.upper.kind in ("shirt", "dress", "t-shirt", "polo shirt") and "sleeve" not in noun
        )
        if not telling or not chance(self.rng, 34):
            return before, noun
        facts.append(Fact("sleeves", frozenset({sleeves})))
        words = {
            "long": ("long sleeved", "long sleeve"),
            "short": ("short sleeved", "short sleeve"),
            "none": ("sleeveless",),
        }
        word = self.choose(words[sleeves])
        return (f"{before} {word}", noun) if chance(self.rng, 60) else (f"{word} {before}", noun)

    def upper(self, *, from_behind: bool) -> Phrase:
        """The upper garment and what is seen under it."""
        outer = self.garment("upper", self.person.upper, from_behind=from_behind)
        if self.person.inner is None or from_behind or chance(self.rng, 25):
            return outer
        word, fact = self.colour("inner", self.person.inner)
        shirt = self.choose(("shirt", "t-shirt", "top"))
        join = self.choose(("over {a}", "with {a} underneath", "with {a} under it", "open over {a}"))
        return Phrase(f"{outer.text} {join.replace('{a}', article(f'{word} {shirt}'))}", (*outer.facts, fact))

    def item(self, slot: str, item: Item) -> Phrase:
        """A thing with its colour, article included."""
        noun, kind_fact = self.noun(slot, item.kind)
        colour, colour_fact = self.colour(f"{slot} colour", item.colour)
        if chance(self.rng, 7):
            return Phrase(self._with_article(noun, item.kind), (kind_fact,))
        return Phrase(self._with_article(f"{colour} {noun}", item.kind), (kind_fact, colour_fact))

    def bag(self, bag: Item) -> Phrase:
        """A bag and perhaps where it is carried."""
        phrase = self.item("bag", bag)
        return Phrase(f"{phrase.text} {self.choose(wording.CARRY_TAILS[bag.kind])}".strip(), phrase.facts)

    def glasses(self, kind: str) -> Phrase:
        """Glasses or sunglasses."""
        noun, fact = self.noun("glasses", kind)
        return Phrase(noun, (fact,))

    def cloth(self, slot: str, colour: Colour) -> Phrase:
        """A scarf or an umbrella."""
        word, fact = self.colour(slot, colour)
        return Phrase(article(f"{word} {slot}"), (fact,))

    def _with_article(self, text: str, kind: str) -> str:
        if kind not in wording.PAIRS:
            return article(text)
        return f"a pair of {text}" if chance(self.rng, 18) else text


def _patterns_like(pattern: str) -> frozenset[str]:
    """Stripes are often called stripes, whichever way they run."""
    stripes = frozenset({"horizontal stripes", "vertical stripes"})
    return stripes if pattern in stripes else frozenset({pattern})


def article(text: str) -> str:
    """`text` behind "a" or "an"."""
    return f"an {text}" if text[0] in "aeio" else f"a {text}"
