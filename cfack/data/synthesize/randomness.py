"""Random draws that are the same in every process, on every machine and for every number of identities."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def stream(*parts: str | int) -> random.Random:
    """A generator of its own for what `parts` name, such as ("person", seed, identity).

    `random.Random` hashes a string seed with SHA-512, so neither the process nor PYTHONHASHSEED matters.
    """
    return random.Random("/".join(str(part) for part in parts))


def pick(rng: random.Random, weights: Mapping[T, int]) -> T:
    """One key of `weights`, drawn with a probability in proportion to its whole-number weight."""
    remaining = rng.randrange(sum(weights.values()))
    for value, weight in weights.items():
        remaining -= weight
        if remaining < 0:
            return value
    raise AssertionError("unreachable: the draw is below the sum of the weights")


def chance(rng: random.Random, percent: int) -> bool:
    """True in `percent` of 100 draws."""
    return rng.randrange(100) < percent
