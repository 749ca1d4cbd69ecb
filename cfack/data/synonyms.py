"""Synonyms for the words of pedestrian descriptions; no download needed.

A source of synonyms is any function from a lower-case word to its synonyms. `builtin_synonyms` is the one
that training uses. `wordnet_synonyms` gives those of the released code to whoever has WordNet installed.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence

from cfack_runtime.errors import ConfigError

SynonymSource = Callable[[str], Sequence[str]]

# One group of interchangeable words a line, comma between them. A word may stand in several groups. Only
# single words are looked up; those of several words are replacements. Words that tell persons apart (sex,
# left and right, colours that differ) never share a group.
_GROUPS = """
man, male, guy, gentleman, gent, fellow
men, males, guys, gentlemen
woman, female, lady
women, females, ladies
girl, young woman, young lady
boy, young man, lad
person, individual, pedestrian, human
people, persons, pedestrians, individuals
child, kid, youngster
children, kids, youngsters
adult, grown up
student, pupil
elderly, old, aged, senior
young, youthful
middle aged, middle age
slim, thin, slender, skinny, lean
heavy, heavyset, stocky, overweight
muscular, athletic, well built
pregnant, expecting
ponytail, pony tail
ponytails, pony tails
pigtails, pig tails, bunches
braid, plait
braids, plaits
bun, knot, chignon
bald, hairless, shaven
curly, wavy, frizzy
straight, sleek
bangs, fringe
blonde, blond, fair, golden
brunette, brown haired
beard, facial hair, whiskers
bearded, unshaven
mustache, moustache
face, visage
glasses, eyeglasses, spectacles, eyewear
sunglasses, shades, dark glasses
mask, face mask
hat, headwear, headgear
beanie, knit cap, woolly hat, wool cap
hood, cowl
helmet, hard hat
headphones, earphones, headset
scarf, shawl, neckerchief
shawl, wrap, scarf
tie, necktie
necklace, pendant, chain
watch, wristwatch
bracelet, bangle, wristband
shirt, top
blouse, dress shirt
tee, t shirt
tshirt, t shirt, tee shirt
polo, polo shirt
sweater, pullover, jumper
cardigan, knit jacket
sweatshirt, sweat shirt
hoodie, hooded sweatshirt, hooded sweater, hoody
cap, baseball cap
windbreaker, wind jacket
coat, overcoat
raincoat, rain jacket, mackintosh
parka, anorak, winter coat
padded, quilted
puffy, padded, puffer, quilted
blazer, suit jacket, sport coat
suit, business suit
vest, waistcoat, gilet
uniform, work clothes
tracksuit, sweatsuit, sports suit
dress, gown, frock
pants, trousers, slacks
jeans, denims, denim pants, blue jeans
overcoat, long coat, greatcoat
leggings, tights, stretch pants
tights, leggings, stockings
stockings, hose
shorts, short pants, short trousers
capris, cropped pants, three quarter pants
overalls, dungarees
belt, waistband
turtleneck, polo neck, high collar
collared, with a collar
sleeveless, without sleeves
pocket, pouch
pockets, pouches
zipper, zip
button, fastener
buttons, fasteners
hem, edge
shoes, footwear
sneakers, trainers, tennis shoes, running shoes, gym shoes
sandals, open toed shoes
boots, booties
slippers, flip flops, house shoes
denim, jean cloth
flats, flat shoes, ballerinas
heels, high heels, pumps
loafers, slip ons, moccasins
sole, bottom
soles, bottoms
laces, shoelaces
gloves, mittens
bag, sack, tote
bags, sacks
backpack, rucksack, knapsack, back pack, school bag
handbag, purse, hand bag, pocketbook
satchel, messenger bag
tote, tote bag
crossbody, cross body, messenger
suitcase, trolley case, travel case
luggage, baggage
briefcase, attache case, document case
wallet, billfold
strap, band
straps, bands
phone, cellphone, mobile phone, cell phone, smartphone
umbrella, parasol, brolly
bottle, flask
cup, mug
paper, sheet
papers, documents, sheets
box, carton, package
stroller, pram, buggy
bicycle, bike, cycle
scooter, moped
motorcycle, motorbike
cart, trolley
object, item, thing
black, jet black
white, snow white
gray, grey
dark, deep
light, pale
bright, vivid, brilliant
colorful, multicolored, colourful
colored, coloured, hued
color, colour, hue, shade
red, crimson, scarlet
maroon, burgundy, dark red, wine red
pink, rose, rosy
orange, tangerine
yellow, lemon
gold, golden
green, emerald
olive, olive green, army green
blue, azure
navy, dark blue, navy blue
turquoise, teal, aqua, cyan
purple, violet
lavender, lilac, light purple
brown, chestnut
tan, beige, sandy
cream, off white, ivory
silver, silvery
striped, stripy, with stripes
stripes, bands, lines
stripe, band, line
horizontal, crosswise
plaid, checkered, checked, tartan
dotted, spotted, polka dot
dots, spots
floral, flowered, flowery
patterned, printed, figured
pattern, design, print
logo, emblem, graphic
letters, lettering, text, writing
camouflage, camo
plain, solid
leather, hide
woolen, wool, woollen
cotton, cloth
fur, furry, fuzzy
shiny, glossy
transparent, see through, sheer
tight, close fitting, snug, fitted
loose, baggy, wide
baggy, loose, wide
casual, informal
formal, smart, elegant
long, lengthy
big, large
small, little, tiny
little, small
wide, broad
thick, dense
wearing, dressed in, clad in, sporting
wears, has on, is dressed in, sports
dressed, clad, attired
clothes, clothing, garments, attire
clothing, clothes, garments
outfit, clothes, attire
carrying, holding, bearing
carries, holds, bears
walking, strolling, striding
walks, strolls, strides
standing, upright
stands, waits
running, jogging
sitting, seated
riding, cycling
looking, gazing, staring
looks, gazes, stares
facing, turned toward
turning, rotating
talking, speaking, chatting
using, operating
pulling, dragging, towing
pushing, shoving
bending, stooping, leaning
crossing, passing
swinging, waving
towards, toward, in the direction of
forward, ahead, onward
behind, at the back of
beside, next to, by
near, close to, by
over, above
across, over
under, beneath, below
around, about
slung, hung, draped
visible, seen, apparent
appears, seems, looks
street, road
pavement, sidewalk
crosswalk, zebra crossing, pedestrian crossing
building, structure
shop, store
ground, floor
camera, lens
knee, knees
ankle, ankles
pair, couple
"""


@functools.cache
def _table() -> dict[str, tuple[str, ...]]:
    table: dict[str, dict[str, None]] = {}
    for line in _GROUPS.strip().splitlines():
        group = [word.strip() for word in line.split(",")]
        for word in group:
            if " " not in word:
                table.setdefault(word, {}).update(dict.fromkeys(other for other in group if other != word))
    return {word: tuple(others) for word, others in table.items()}


def builtin_synonyms(word: str) -> Sequence[str]:
    """Synonyms of a lower-case word out of the built-in table; empty where it has none."""
    return _table().get(word, ())


def wordnet_synonyms() -> SynonymSource:
    """Synonyms from WordNet, as the released code uses them.

    Raises:
        ConfigError: NLTK or its WordNet data is not installed.
    """
    try:
        # Not an import statement: type checkers should not ask for a package that few have.
        wordnet = importlib.import_module("nltk.corpus").wordnet
        wordnet.synsets("shirt")  # the data is looked for at the first use
    except (ImportError, LookupError) as error:
        raise ConfigError(
            "WordNet synonyms need NLTK and its data: `pip install nltk`, then `python -m nltk.downloader "
            "wordnet`; or use the built-in synonyms"
        ) from error

    @functools.cache
    def synonyms(word: str) -> Sequence[str]:
        found = {
            "".join(c for c in lemma.name().replace("_", " ").replace("-", " ").lower() if c in _LETTERS)
            for synset in wordnet.synsets(word)
            for lemma in synset.lemmas()
        }
        return sorted(found - {word, ""})

    return synonyms


_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz ")
