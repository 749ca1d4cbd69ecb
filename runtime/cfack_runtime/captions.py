"""How a sentence is cleaned before it is cut into word pieces."""

from __future__ import annotations

import re

from cfack_runtime.errors import DataError

_TO_SPACE = str.maketrans(dict.fromkeys(",.'!?\"()*#:;~-/", " "))
_RUN_OF_SPACE = re.compile(r"\s{2,}")


def normalize_caption(caption: str, max_words: int) -> str:
    """Clean one caption the way the published model was trained and evaluated.

    Lower case; each of ``, . ' ! ? " ( ) * # : ; ~ - /`` becomes a space; ``<person>`` becomes
    ``person``; runs of white space shrink to one space; the first `max_words` words stay.

    Args:
        caption: any unicode text.
        max_words: words kept, at least 1. The published model uses its number of text tokens.

    Raises:
        DataError: nothing is left.
    """
    cleaned = caption.lower().translate(_TO_SPACE).replace("<person>", "person")
    cleaned = _RUN_OF_SPACE.sub(" ", cleaned).rstrip("\n").strip(" ")
    if not cleaned.strip():
        raise DataError(
            f"caption {caption!r} is empty once punctuation and white space are taken away; "
            "give a sentence that describes a person"
        )
    return " ".join(cleaned.split(" ")[:max_words])
