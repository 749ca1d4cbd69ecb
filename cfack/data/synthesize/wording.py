"""What people call the kinds of things that `attributes` draws."""

from __future__ import annotations

SEX_NOUNS = {
    False: ("man", "man", "man", "male", "guy", "gentleman", "young man"),
    True: ("woman", "woman", "woman", "lady", "female", "girl", "young woman"),
}
BUILD_WORDS = {"slim": ("slim", "thin", "slender"), "heavy": ("heavy set", "stocky", "large")}

# Every noun a kind of thing is called by; the first ones are the usual ones and are drawn more often.
KIND_WORDS: dict[str, tuple[str, ...]] = {
    "t-shirt": ("t-shirt", "t-shirt", "tee shirt", "short sleeved shirt", "shirt", "top"),
    "polo shirt": ("polo shirt", "polo shirt", "collared t-shirt", "shirt"),
    "tank top": ("tank top", "sleeveless shirt", "sleeveless top", "top"),
    "long-sleeved t-shirt": ("long sleeved shirt", "long sleeve top", "shirt", "top"),
    "shirt": ("shirt", "button up shirt", "button down shirt", "collared shirt"),
    "sweater": ("sweater", "sweater", "pullover", "jumper", "top"),
    "hoodie": ("hoodie", "hoodie", "hooded sweatshirt", "sweatshirt"),
    "jacket": ("jacket", "jacket", "short jacket"),
    "puffer jacket": ("puffy jacket", "down jacket", "padded jacket", "jacket"),
    "coat": ("coat", "long coat", "coat", "overcoat"),
    "dress": ("dress", "dress", "knee length dress"),
    "trousers": ("pants", "pants", "trousers", "slacks"),
    "jeans": ("jeans", "jeans", "denim jeans", "denim pants", "pants"),
    "shorts": ("shorts", "shorts", "short pants"),
    "skirt": ("skirt", "skirt", "knee length skirt"),
    "long skirt": ("long skirt", "long skirt", "ankle length skirt", "skirt"),
    "sneakers": ("sneakers", "shoes", "tennis shoes", "trainers", "running shoes"),
    "leather shoes": ("dress shoes", "shoes", "leather shoes"),
    "boots": ("boots", "boots", "ankle boots"),
    "sandals": ("sandals", "sandals", "open toed sandals"),
    "high heels": ("high heels", "heels", "high heeled shoes"),
    "flats": ("flats", "flat shoes", "shoes"),
    "backpack": ("backpack", "backpack", "rucksack", "back pack", "bag"),
    "shoulder bag": ("shoulder bag", "messenger bag", "crossbody bag", "bag"),
    "handbag": ("handbag", "purse", "hand bag", "bag"),
    "shopping bag": ("shopping bag", "paper bag", "bag"),
    "suitcase": ("suitcase", "rolling suitcase", "trolley case"),
    "cap": ("cap", "baseball cap", "baseball cap", "hat"),
    "hat": ("hat", "brimmed hat", "sun hat"),
    "beanie": ("beanie", "knit hat", "wool cap", "hat"),
    "glasses": ("glasses", "glasses", "eyeglasses"),
    "sunglasses": ("sunglasses", "dark glasses", "sunglasses"),
}
PAIRS = frozenset(
    {"trousers", "jeans", "shorts", "sneakers", "leather shoes", "boots", "sandals", "high heels", "flats"}
    | {"glasses", "sunglasses"}
)

HAIR_WORDS: dict[str, tuple[str, ...]] = {
    "short": ("short {c} hair", "short {c} hair", "{c} hair cut short", "short, {c} hair"),
    "long": ("long {c} hair", "long {c} hair", "long, straight {c} hair", "{c} hair down {p} back"),
    "shoulder-length": ("shoulder length {c} hair", "medium length {c} hair", "{c} shoulder-length hair"),
    "ponytail": ("{c} hair in a ponytail", "{c} hair pulled back in a ponytail", "a {c} ponytail",
                 "{c} hair tied back in a pony tail"),
    "bun": ("{c} hair in a bun", "{c} hair tied up in a bun", "{c} hair pulled up"),
    "curly": ("curly {c} hair", "thick curly {c} hair", "big, curly {c} hair"),
    "bald": ("a bald head", "a shaved head", "no hair"),
}  # fmt: skip

PATTERN_WORDS: dict[str, tuple[str, ...]] = {
    "horizontal stripes": ("striped", "striped", "horizontally striped"),
    "vertical stripes": ("striped", "pinstriped", "vertically striped"),
    "checks": ("plaid", "checkered", "checked"),
    "dots": ("polka dot", "dotted", "spotted"),
}
PATTERN_TAILS: dict[str, tuple[str, ...]] = {
    "horizontal stripes": ("with {c} stripes", "with {c} horizontal stripes"),
    "vertical stripes": ("with {c} vertical stripes", "with {c} stripes"),
    "checks": ("with {c} checks", "with a {c} plaid pattern"),
    "dots": ("with {c} dots", "with {c} polka dots", "with {c} spots"),
    "logo": ("with a {c} logo on the front", "with a {c} print on the chest", "with a {c} graphic on it"),
}

CARRY_TAILS: dict[str, tuple[str, ...]] = {
    "backpack": ("on {p} back", "on {p} back", "over both shoulders", ""),
    "shoulder bag": ("over {p} shoulder", "across {p} body", "at {p} side", ""),
    "handbag": ("in {p} {s} hand", "in {p} hand", "on {p} arm", ""),
    "shopping bag": ("in {p} {s} hand", "in one hand", ""),
    "suitcase": ("behind {o}", "in {p} {s} hand", ""),
}

# What the person does, as "... is ..."; the first table for those who walk, the second for those who stand.
WALKING: dict[str, tuple[str, ...]] = {
    "front": (
        "walking towards the camera",
        "walking forward",
        "facing forward and walking",
        "coming towards the camera",
    ),
    "back": (
        "walking away from the camera",
        "walking away",
        "walking with {p} back to the camera",
        "seen from behind while walking",
    ),
    "left": ("walking to the left", "walking left", "walking towards the left side", "heading to the left"),
    "right": (
        "walking to the right",
        "walking right",
        "walking towards the right side",
        "heading to the right",
    ),
}
STANDING: dict[str, tuple[str, ...]] = {
    "front": ("facing the camera", "standing and facing forward", "standing in front of the camera"),
    "back": (
        "facing away from the camera",
        "standing with {p} back to the camera",
        "turned away from the camera",
    ),
    "left": ("standing and facing left", "looking to the left", "turned to the left"),
    "right": ("standing and facing right", "looking to the right", "turned to the right"),
}
# What the person does with an arm: behind "is walking left", and as a sentence of its own.
GESTURES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "phone": (
        ("looking at a phone in {p} hand", "holding a hand up in front of {o}"),
        ("{S} is holding a phone.", "{S} holds one hand up."),
    ),
    "pocket": (
        ("with a hand in {p} pocket", "with one hand in {p} pocket"),
        ("{S} has a hand in {p} pocket.", "One hand is in {p} pocket."),
    ),
}
# True of every image of its direction; they lengthen a caption that is too short for its data set.
REMARKS: dict[str, tuple[tuple[str, ...], ...]] = {
    "front": (("{S} is seen from the front.", "{S} faces the viewer."), ("The whole body can be seen.",)),
    "back": (("{S} is seen from behind.", "Only {p} back can be seen."), ("The face is not visible.",)),
    "left": (
        ("{S} is seen from the side.", "The left of the picture is in front of {o}."),
        ("The whole body can be seen.",),
    ),
    "right": (
        ("{S} is seen from the side.", "The right of the picture is in front of {o}."),
        ("The whole body can be seen.",),
    ),
}

PLACES: dict[str, tuple[str, ...]] = {
    "street": ("on the sidewalk", "along a street with trees", "on the pavement"),
    "zebra crossing": ("across the road", "on a crosswalk", "over a zebra crossing"),
    "grass": ("on the grass", "in a park", "near some trees"),
    "corridor": ("in a hallway", "inside a building", "down a corridor"),
    "shop": ("in front of a shop", "past a store window", "by the shops"),
    "wall": ("next to a brick wall", "by a wall", "along a wall"),
    "station": ("in a station", "through a large hall", "on a platform"),
    "car park": ("in a parking lot", "near parked cars", "past some cars"),
}


def kinds_called(noun: str) -> frozenset[str]:
    """The kinds of things that `noun` may mean."""
    return frozenset(kind for kind, words in KIND_WORDS.items() if noun in words)
