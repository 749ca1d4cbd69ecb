import pytest

from cfack_runtime.captions import normalize_caption
from cfack_runtime.errors import DataError


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A Man, in a RED coat.", "a man in a red coat"),
        ("the woman's t-shirt/dress", "the woman s t shirt dress"),
        ("a <person> here", "a person here"),
        (
            "one,two.three'four!five?six\"seven(eight)nine*ten",
            "one two three four five six seven eight nine ten",
        ),
        ("a#b:c;d~e", "a b c d e"),
        ("  two   spaces \t\n and more\n\n", "two spaces and more"),
        ("keep & the_rest @ $5 100%", "keep & the_rest @ $5 100%"),
        ("Mädchen \u2013 \u2019typographic\u2019", "mädchen \u2013 \u2019typographic\u2019"),
    ],
)
def test_captions_are_cleaned_as_the_published_model_had_them(caption, expected):
    assert normalize_caption(caption, 40) == expected


def test_a_single_tab_stays_as_it_was_in_the_released_code():
    assert normalize_caption("a\tman", 40) == "a\tman"


def test_only_the_first_words_are_kept():
    assert normalize_caption("One, two, three, four.", 3) == "one two three"


@pytest.mark.parametrize("caption", ["", "   ", "...", "\t", "-,;\n"])
def test_a_caption_that_says_nothing_is_an_error_that_shows_it(caption):
    with pytest.raises(DataError) as caught:
        normalize_caption(caption, 40)
    assert repr(caption) in str(caught.value)
    assert "give a sentence" in str(caught.value)
