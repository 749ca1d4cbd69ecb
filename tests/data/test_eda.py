from collections import Counter
from collections.abc import Sequence

import numpy as np

from cfack.data.eda import EasyDataAugmentation, letters_only

CAPTION = "A tall man, in a red jacket and blue jeans is walking on the street with a black backpack today"
CLEAN = "a tall man in a red jacket and blue jeans is walking on the street with a black backpack today"


def capital_synonyms(word: str) -> Sequence[str]:
    """Every word but stop words of a test has one synonym that cannot be mistaken."""
    return (f"{word}{word}",) if len(word) > 4 else ()


def outcomes(eda: EasyDataAugmentation, caption: str, count: int) -> Counter[str]:
    return Counter(eda(caption, np.random.default_rng(seed)) for seed in range(count))


def test_cleaning_keeps_letters_only() -> None:
    assert letters_only("It\u2019s a man's T-shirt,\n\t size 42 / ÄB") == "its a mans t shirt size b"


def test_the_caption_itself_is_one_of_nine_choices() -> None:
    # With so few words a swap or a deletion may also give back the caption, so words are many here.
    found = outcomes(EasyDataAugmentation(8, synonyms=capital_synonyms), CAPTION, 3000)
    # 1/9 by choice; deletion (2/9 of the draws) leaves 19 words alone with probability 0.9 ** 19 = 0.135
    expected = 1 / 9 + 8 / 9 / 4 * 0.9**19
    assert abs(found[CLEAN] / 3000 - expected) < 0.025


def test_with_the_switch_the_original_is_never_chosen() -> None:
    eda = EasyDataAugmentation(9, never_original=True, synonyms=capital_synonyms)
    found = outcomes(eda, CAPTION, 1500)
    assert abs(found[CLEAN] / 1500 - 0.9**19 / 4) < 0.02


def test_every_outcome_is_one_of_the_four_operations() -> None:
    words = CLEAN.split()
    kinds: Counter[str] = Counter()
    for text in outcomes(EasyDataAugmentation(8, synonyms=capital_synonyms), CAPTION, 600).elements():
        kinds[kind_of(text.split(), words)] += 1
    assert set(kinds) == {"unchanged", "replaced", "inserted", "swapped", "deleted"}
    assert all(kinds[kind] > 80 for kind in ("replaced", "inserted", "swapped", "deleted"))


def kind_of(changed: list[str], words: list[str]) -> str:
    new = [word for word in changed if word not in words]
    if new:
        assert all(len(word) % 2 == 0 for word in new)
        return "replaced" if len(changed) == len(words) else "inserted"
    if len(changed) < len(words):
        return "deleted"
    assert sorted(changed) == sorted(words)
    return "unchanged" if changed == words else "swapped"


def test_every_occurrence_of_a_word_is_replaced_by_the_same_synonym() -> None:
    eda = EasyDataAugmentation(8, never_original=True, synonyms=lambda w: ("crimson",) if w == "red" else ())
    found = outcomes(eda, "red hat red coat red shoes", 200)
    assert found["crimson hat crimson coat crimson shoes"] > 20


def test_stop_words_are_not_replaced() -> None:
    eda = EasyDataAugmentation(8, never_original=True, synonyms=lambda word: ("never",))
    assert all(len(text.split()) != 3 or "never" not in text for text in outcomes(eda, "he is in", 200))


def test_a_single_word_survives() -> None:
    eda = EasyDataAugmentation(8, synonyms=lambda word: ())
    assert set(outcomes(eda, "Man!", 100)) == {"man"}


def test_a_caption_without_letters_comes_back_as_it_is() -> None:
    eda = EasyDataAugmentation(8)
    assert eda("42 — 人", np.random.default_rng(0)) == "42 — 人"


def test_the_same_generator_gives_the_same_sentence() -> None:
    eda = EasyDataAugmentation(8)
    first = [eda(CAPTION, np.random.default_rng(seed)) for seed in range(30)]
    assert first == [eda(CAPTION, np.random.default_rng(seed)) for seed in range(30)]
    assert len(set(first)) > 10
