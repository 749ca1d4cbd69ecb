"""What makes an identity: body, hair, garments and belongings, drawn from skewed but wide distributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfack.data.synthesize import wardrobe
from cfack.data.synthesize.palette import DENIM, FABRIC, HAIR, RGB, SKIN, Colour, contrasting, draw_colour
from cfack.data.synthesize.randomness import chance, pick, stream

if TYPE_CHECKING:
    import random


@dataclass(frozen=True)
class Garment:
    """A piece of clothing: its kind, colour, pattern, and the colour of the pattern (None on plain cloth)."""

    kind: str
    colour: Colour
    pattern: str = "plain"
    accent: Colour | None = None


@dataclass(frozen=True)
class Item:
    """A thing worn or carried, by kind and colour."""

    kind: str
    colour: Colour


@dataclass(frozen=True)
class Person:
    """One identity; every image of it shows these attributes.

    Attributes:
        sleeves: "long", "short" or "none", whatever the upper garment is.
        inner: Colour of the shirt seen in an open jacket, coat or hoodie; None where it is closed.
        lower: None under a dress.
        side: 1 where bags and umbrellas are held on the person's left, -1 on the right.
    """

    female: bool
    build: str
    skin: RGB
    hair_style: str
    hair: Colour
    beard: bool
    headwear: Item | None
    upper: Garment
    sleeves: str
    inner: Colour | None
    lower: Garment | None
    shoes: Item
    bag: Item | None
    side: int
    glasses: str | None
    scarf: Colour | None
    umbrella: Colour | None


def draw_person(seed: int, identity: int) -> Person:
    """The person that `identity` is in the world of `seed`, whatever other identities there are."""
    rng = stream("person", seed, identity)
    female = chance(rng, 48)
    season = pick(rng, {"warm": 46, "mild": 32, "cold": 22})
    upper = _draw_upper(rng, female, season)
    lower = None if upper.kind == "dress" else _draw_lower(rng, female, season)
    hair_style = _draw_hair_style(rng, female)
    return Person(
        female=female,
        build=pick(rng, {"average": 70, "slim": 16, "heavy": 14}),
        skin=SKIN[pick(rng, {0: 30, 1: 30, 2: 18, 3: 12, 4: 10})],
        hair_style=hair_style,
        hair=draw_colour(rng, {"black": 44, "brown": 26, "blonde": 15, "grey": 9, "red": 6}, HAIR),
        beard=not female and chance(rng, 16),
        headwear=_draw_headwear(rng, season),
        upper=upper,
        sleeves=_draw_sleeves(rng, upper.kind),
        inner=_draw_inner(rng, upper),
        lower=lower,
        shoes=_draw_shoes(rng, female, season),
        bag=_draw_bag(rng, female),
        side=1 if chance(rng, 50) else -1,
        glasses=pick(rng, {None: 82, "glasses": 11, "sunglasses": 7}),
        scarf=draw_colour(rng, wardrobe.BAG_COLOURS) if season == "cold" and chance(rng, 36) else None,
        umbrella=draw_colour(rng, wardrobe.BAG_COLOURS) if chance(rng, 3) else None,
    )


def _garment(rng: random.Random, kind: str, colour: Colour) -> Garment:
    pattern = pick(rng, wardrobe.PATTERNS.get(kind, {"plain": 1}))
    accent = None if pattern == "plain" else contrasting(rng, colour)
    return Garment(kind, colour, pattern, accent)


def _draw_upper(rng: random.Random, female: bool, season: str) -> Garment:
    if female and season != "cold" and chance(rng, 22):
        return _garment(rng, "dress", draw_colour(rng, wardrobe.SKIRT_COLOURS))
    return _garment(rng, pick(rng, wardrobe.UPPER_KINDS[season]), draw_colour(rng, wardrobe.UPPER_COLOURS))


def _draw_lower(rng: random.Random, female: bool, season: str) -> Garment:
    kinds = {"trousers": 44, "jeans": 34}
    if season == "warm":
        kinds["shorts"] = 34
    if female:
        kinds["skirt"] = 20 if season == "warm" else 8
        kinds["long skirt"] = 8
    kind = pick(rng, kinds)
    colours = wardrobe.COLOURS_OF_KIND.get(kind, wardrobe.LOWER_COLOURS)
    return _garment(rng, kind, draw_colour(rng, colours, DENIM if kind == "jeans" else FABRIC))


def _draw_hair_style(rng: random.Random, female: bool) -> str:
    if female:
        return pick(
            rng, {"long": 36, "shoulder-length": 20, "ponytail": 22, "bun": 10, "short": 9, "curly": 6}
        )
    return pick(rng, {"short": 74, "bald": 8, "curly": 10, "shoulder-length": 5, "bun": 2})


def _draw_headwear(rng: random.Random, season: str) -> Item | None:
    kinds = {None: 78, "cap": 12, "hat": 4, "beanie": 14 if season == "cold" else 2}
    kind = pick(rng, kinds)
    return None if kind is None else Item(kind, draw_colour(rng, wardrobe.HAT_COLOURS))


def _draw_sleeves(rng: random.Random, kind: str) -> str:
    if kind in wardrobe.SHORT_SLEEVED:
        return "short"
    if kind == "tank top":
        return "none"
    if kind == "shirt":
        return pick(rng, {"long": 58, "short": 42})
    if kind == "dress":
        return pick(rng, {"short": 52, "long": 20, "none": 28})
    return "long"


def _draw_inner(rng: random.Random, upper: Garment) -> Colour | None:
    if upper.kind not in wardrobe.OPEN_KINDS or upper.pattern == "logo" or not chance(rng, 46):
        return None
    return contrasting(rng, upper.colour)


def _draw_shoes(rng: random.Random, female: bool, season: str) -> Item:
    kinds = {"sneakers": 50, "leather shoes": 14 if not female else 4, "boots": 26 if season == "cold" else 8}
    if season == "warm":
        kinds["sandals"] = 14
    if female:
        kinds["high heels"] = 12
        kinds["flats"] = 10
    kind = pick(rng, kinds)
    colours = {"black": 60, "brown": 40} if kind in ("leather shoes", "boots") else wardrobe.SHOE_COLOURS
    return Item(kind, draw_colour(rng, colours))


def _draw_bag(rng: random.Random, female: bool) -> Item | None:
    kinds = {None: 40, "backpack": 24, "shoulder bag": 14, "shopping bag": 7, "suitcase": 5}
    kinds["handbag"] = 18 if female else 3
    kind = pick(rng, kinds)
    return None if kind is None else Item(kind, draw_colour(rng, wardrobe.BAG_COLOURS))
