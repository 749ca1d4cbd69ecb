"""The colours of garments, hair, bags and skin, and the words people use for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cfack.data.synthesize.randomness import pick

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Colour:
    """A named colour as one identity wears it.

    Attributes:
        name: Key of `FABRIC` or `HAIR`; what captions speak of.
        rgb: The shade of this garment, a little off the named colour and the same in all its images.
    """

    name: str
    rgb: RGB


FABRIC: dict[str, RGB] = {
    "black": (30, 30, 34),
    "white": (236, 236, 232),
    "grey": (134, 137, 141),
    "dark grey": (78, 80, 86),
    "navy": (30, 40, 82),
    "blue": (38, 86, 176),
    "light blue": (132, 178, 222),
    "red": (192, 34, 40),
    "maroon": (104, 24, 40),
    "pink": (232, 142, 172),
    "purple": (108, 58, 142),
    "green": (44, 128, 70),
    "olive": (96, 100, 58),
    "yellow": (232, 200, 58),
    "orange": (226, 116, 36),
    "brown": (104, 68, 44),
    "beige": (206, 184, 146),
    "teal": (24, 128, 134),
}

# Washed cloth is duller than dyed cloth of the same name.
DENIM: dict[str, RGB] = {
    "blue": (58, 90, 144),
    "navy": (36, 48, 82),
    "light blue": (140, 168, 200),
    "black": (42, 44, 50),
}

HAIR: dict[str, RGB] = {
    "black": (26, 22, 22),
    "brown": (84, 54, 36),
    "blonde": (206, 168, 98),
    "red": (142, 62, 30),
    "grey": (158, 156, 154),
}

SKIN: tuple[RGB, ...] = ((240, 206, 182), (226, 184, 150), (198, 148, 112), (152, 104, 74), (100, 66, 48))

# How people write each colour: (word, weight), the most usual one first.
COLOUR_WORDS: dict[str, dict[str, int]] = {
    "black": {"black": 88, "dark": 12},
    "white": {"white": 93, "light": 7},
    "grey": {"gray": 40, "grey": 40, "light gray": 20},
    "dark grey": {"dark grey": 35, "dark gray": 35, "charcoal": 12, "grey": 18},
    "navy": {"navy blue": 35, "dark blue": 40, "navy": 15, "dark": 10},
    "blue": {"blue": 84, "bright blue": 16},
    "light blue": {"light blue": 76, "pale blue": 14, "blue": 10},
    "red": {"red": 88, "bright red": 12},
    "maroon": {"maroon": 45, "dark red": 35, "burgundy": 20},
    "pink": {"pink": 86, "light pink": 14},
    "purple": {"purple": 88, "violet": 12},
    "green": {"green": 90, "dark green": 10},
    "olive": {"olive green": 40, "army green": 25, "olive": 20, "green": 15},
    "yellow": {"yellow": 86, "bright yellow": 14},
    "orange": {"orange": 90, "bright orange": 10},
    "brown": {"brown": 82, "dark brown": 18},
    "beige": {"beige": 38, "khaki": 26, "tan": 26, "cream": 10},
    "teal": {"teal": 60, "turquoise": 25, "blue green": 15},
}
HAIR_COLOUR_WORDS: dict[str, dict[str, int]] = {
    "black": {"black": 84, "dark": 16},
    "brown": {"brown": 74, "dark brown": 16, "light brown": 10},
    "blonde": {"blonde": 60, "blond": 30, "light": 10},
    "red": {"red": 74, "reddish brown": 16, "auburn": 10},
    "grey": {"gray": 40, "grey": 40, "white": 20},
}

# Words that an onlooker may use for more colours than those that list them.
VAGUE_WORDS: dict[str, frozenset[str]] = {
    "dark": frozenset({"black", "navy", "dark grey", "maroon", "brown"}),
    "light": frozenset({"white", "light blue", "beige", "grey", "pink", "blonde"}),
    "grey": frozenset({"grey", "dark grey"}),
    "blue": frozenset({"blue", "light blue", "navy"}),
}


def meanings(word: str, table: Mapping[str, Mapping[str, int]] = COLOUR_WORDS) -> frozenset[str]:
    """The colour names that the written colour `word` may mean."""
    named = frozenset(name for name, words in table.items() if word in words)
    return named | VAGUE_WORDS.get(word, frozenset())


def draw_colour(rng: random.Random, weights: Mapping[str, int], table: Mapping[str, RGB] = FABRIC) -> Colour:
    """Draw a named colour and the shade of it that one identity wears."""
    name = pick(rng, weights)
    return shade_of(rng, name, table)


def shade_of(rng: random.Random, name: str, table: Mapping[str, RGB] = FABRIC) -> Colour:
    """The colour `name` with a small deviation of lightness and hue."""
    light = rng.randint(-10, 10)
    red, green, blue = (clamp(value + light + rng.randint(-6, 6)) for value in table[name])
    return Colour(name, (red, green, blue))


def clamp(value: float) -> int:
    """`value` as a channel of 8 bits."""
    return max(0, min(255, int(value)))


def mix(first: RGB, second: RGB, percent: int) -> RGB:
    """`percent` of `second` in `first`."""
    red, green, blue = (
        (a * (100 - percent) + b * percent) // 100 for a, b in zip(first, second, strict=True)
    )
    return (red, green, blue)


def darker(colour: RGB, percent: int) -> RGB:
    """`colour` with `percent` of black."""
    return mix(colour, (0, 0, 0), percent)


def lighter(colour: RGB, percent: int) -> RGB:
    """`colour` with `percent` of white."""
    return mix(colour, (255, 255, 255), percent)


def brightness(colour: RGB) -> int:
    """Perceived lightness, 0 to 255 (ITU-R BT.601 weights)."""
    red, green, blue = colour
    return (299 * red + 587 * green + 114 * blue) // 1000


def contrasting(rng: random.Random, base: Colour) -> Colour:
    """A colour for a pattern on `base` that is seen against it."""
    names = ("white", "white", "black", "navy", "red", "grey", "yellow", "light blue", "green")
    rivals = [name for name in names if abs(brightness(FABRIC[name]) - brightness(base.rgb)) >= 70]
    return shade_of(rng, rivals[rng.randrange(len(rivals))])
