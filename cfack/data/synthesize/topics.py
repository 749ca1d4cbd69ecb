"""Which things a caption mentions, as phrases that are used up one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cfack.data.synthesize import wording
from cfack.data.synthesize.phrases import Fact, Phrase, Speaker
from cfack.data.synthesize.randomness import chance, stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cfack.data.synthesize.attributes import Person
    from cfack.data.synthesize.render import Shot

# How many of 100 captions speak of a thing that is there to be seen.
MENTION = {
    "upper": 97,
    "lower": 92,
    "shoes": 52,
    "hair": 54,
    "bag": 86,
    "headwear": 88,
    "glasses": 56,
    "scarf": 78,
    "umbrella": 92,
    "action": 30,
    "place": 6,
    "gesture": 8,
}
WORN = ("upper", "lower", "shoes", "headwear", "scarf", "glasses")


def draw_topics(person: Person, shot: Shot, key: Sequence[str | int]) -> tuple[set[str], list[str]]:
    """The topics of one caption, and those it could still take up, in random order."""
    rng = stream("topics", *key)
    seen = [topic for topic in MENTION if _is_seen(topic, person, shot)]
    chosen = {topic for topic in seen if chance(rng, MENTION[topic])}
    # Nobody describes a person without a garment.
    chosen.add("upper" if person.lower is None or chance(rng, 50) else "lower")
    spare = [topic for topic in seen if topic not in chosen]
    rng.shuffle(spare)
    return chosen, spare


def _is_seen(topic: str, person: Person, shot: Shot) -> bool:
    behind = shot.pose.direction == "back"
    hidden = {
        "lower": person.lower is None,
        "bag": person.bag is None,
        "headwear": person.headwear is None,
        "glasses": person.glasses is None or behind,
        "scarf": person.scarf is None,
        "umbrella": person.umbrella is None,
        "gesture": not any(arm in wording.GESTURES for arm in shot.pose.arms),
    }
    return not hidden.get(topic, False)


class Mentions:
    """The phrases of one caption; taking one books its facts, and it cannot be taken again."""

    def __init__(self, speaker: Speaker, shot: Shot, topics: set[str]) -> None:
        self.facts: list[Fact] = []
        # In the order of MENTION: the order of a set differs from process to process.
        self._left = {topic: _phrase(topic, speaker, shot, topics) for topic in MENTION if topic in topics}

    def take(self, topic: str) -> str | None:
        """The words on a topic, once."""
        phrase = self._left.pop(topic, None)
        if phrase is None:
            return None
        self.facts.extend(phrase.facts)
        return phrase.text

    def who(self, speaker: Speaker) -> str:
        """The noun for the person."""
        phrase = speaker.who()
        self.facts.extend(phrase.facts)
        return phrase.text

    def worn(self, speaker: Speaker, at_most: int = 6) -> list[str]:
        """Up to `at_most` garments, from the top down or with the hat last."""
        order = list(WORN)
        if chance(speaker.rng, 30):
            order = ["headwear", "glasses", "scarf", "upper", "lower", "shoes"]
        taken: list[str] = []
        for topic in order:
            if len(taken) == at_most:
                break
            text = self.take(topic)
            if text is not None:
                taken.append(text)
        return taken

    def doing(self, speaker: Speaker) -> str | None:
        """Action, gesture and place in one phrase, such as "walking left in a park"."""
        action, place = self.take("action"), self.take("place")
        if action is None:
            return None if place is None else f"{speaker.choose(('walking', 'seen'))} {place}"
        return " ".join(part for part in (action, place, self.take("gesture")) if part is not None)

    def carried(self) -> list[str]:
        """Bag and umbrella."""
        return [text for text in (self.take("bag"), self.take("umbrella")) if text is not None]


def _phrase(topic: str, speaker: Speaker, shot: Shot, topics: set[str]) -> Phrase:
    """What the speaker says about one topic that is there."""
    person, behind = speaker.person, shot.pose.direction == "back"
    if topic == "upper":
        return speaker.upper(from_behind=behind)
    if topic == "hair":
        return speaker.hair()
    if topic == "action":
        table = wording.WALKING if shot.pose.walks else wording.STANDING
        return Phrase(speaker.choose(table[shot.pose.direction]))
    if topic == "place":
        return Phrase(speaker.choose(wording.PLACES[shot.place]))
    if topic == "gesture":
        gesture = next(arm for arm in shot.pose.arms if arm in wording.GESTURES)
        behind_action, alone = wording.GESTURES[gesture]
        return Phrase(speaker.choose(behind_action if "action" in topics else alone))
    if topic == "lower" and person.lower is not None:
        return speaker.garment("lower", person.lower, from_behind=behind)
    if topic == "bag" and person.bag is not None:
        return speaker.bag(person.bag)
    if topic == "headwear" and person.headwear is not None:
        return speaker.item("headwear", person.headwear)
    if topic == "glasses" and person.glasses is not None:
        return speaker.glasses(person.glasses)
    if topic == "scarf" and person.scarf is not None:
        return speaker.cloth("scarf", person.scarf)
    if topic == "umbrella" and person.umbrella is not None:
        return speaker.cloth("umbrella", person.umbrella)
    return speaker.item("shoes", person.shoes)
