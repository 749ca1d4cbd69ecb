"""Which colours, kinds and patterns people wear and carry, with whole-number weights."""

from __future__ import annotations

UPPER_COLOURS = {
    "black": 15, "white": 13, "grey": 9, "dark grey": 4, "navy": 6, "blue": 9, "light blue": 5, "red": 9,
    "maroon": 3, "pink": 5, "purple": 4, "green": 5, "olive": 3, "yellow": 5, "orange": 4, "brown": 4,
    "beige": 5, "teal": 3,
}  # fmt: skip
LOWER_COLOURS = {
    "black": 26, "grey": 11, "dark grey": 7, "navy": 11, "blue": 6, "light blue": 4, "beige": 11, "brown": 6,
    "white": 6, "olive": 5, "red": 4, "green": 3, "maroon": 2, "pink": 2,
}  # fmt: skip
SKIRT_COLOURS = {
    "black": 18, "white": 9, "red": 12, "blue": 9, "pink": 9, "navy": 7, "yellow": 7, "green": 7, "purple": 7,
    "beige": 6, "grey": 5, "orange": 4, "teal": 4, "light blue": 5,
}  # fmt: skip
DENIM_COLOURS = {"blue": 45, "navy": 30, "light blue": 15, "black": 10}
COLOURS_OF_KIND = {"jeans": DENIM_COLOURS, "skirt": SKIRT_COLOURS, "long skirt": SKIRT_COLOURS}
SHOE_COLOURS = {
    "black": 34, "white": 28, "brown": 10, "grey": 8, "red": 6, "blue": 5, "navy": 3, "beige": 3, "pink": 3,
}  # fmt: skip
BAG_COLOURS = {
    "black": 28, "red": 10, "blue": 9, "brown": 12, "grey": 8, "white": 6, "green": 6, "pink": 6, "yellow": 5,
    "navy": 4, "orange": 3, "purple": 3, "beige": 4,
}  # fmt: skip
HAT_COLOURS = {
    "black": 26,
    "white": 15,
    "red": 14,
    "navy": 10,
    "blue": 9,
    "grey": 9,
    "green": 5,
    "beige": 6,
    "yellow": 4,
}

# Garments of three seasons keep an outfit plausible: no shorts under a coat.
UPPER_KINDS = {
    "warm": {"t-shirt": 50, "polo shirt": 12, "tank top": 8, "shirt": 22},
    "mild": {"shirt": 26, "hoodie": 20, "sweater": 18, "jacket": 22, "long-sleeved t-shirt": 10},
    "cold": {"coat": 38, "jacket": 34, "puffer jacket": 16, "hoodie": 8, "sweater": 6},
}
OPEN_KINDS = frozenset({"jacket", "coat", "hoodie", "puffer jacket"})
SHORT_SLEEVED = frozenset({"t-shirt", "polo shirt"})
PATTERNS = {
    "t-shirt": {"plain": 46, "horizontal stripes": 20, "logo": 22, "dots": 6, "vertical stripes": 4},
    "polo shirt": {"plain": 60, "horizontal stripes": 40},
    "tank top": {"plain": 70, "horizontal stripes": 20, "dots": 10},
    "long-sleeved t-shirt": {"plain": 50, "horizontal stripes": 40, "logo": 10},
    "shirt": {"plain": 48, "checks": 30, "vertical stripes": 16, "dots": 6},
    "sweater": {"plain": 62, "horizontal stripes": 28, "checks": 10},
    "hoodie": {"plain": 68, "logo": 32},
    "jacket": {"plain": 88, "checks": 12},
    "coat": {"plain": 86, "checks": 14},
    "puffer jacket": {"plain": 100},
    "dress": {"plain": 48, "dots": 20, "horizontal stripes": 12, "checks": 10, "vertical stripes": 10},
    "skirt": {"plain": 66, "checks": 16, "dots": 10, "vertical stripes": 8},
    "long skirt": {"plain": 74, "dots": 14, "vertical stripes": 12},
    "shorts": {"plain": 80, "checks": 20},
}
