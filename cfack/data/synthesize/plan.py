"""Checking what `synthesize` is asked for, and dividing identities among splits."""

from __future__ import annotations

from cfack.data.synthesize.layouts import LAYOUTS, Layout
from cfack_runtime.errors import UsageError

DEFAULT_SHARES = (70, 10, 20)  # percent of the identities in train, val and test
MIN_HEIGHT, MAX_HEIGHT = 48, 1024


def checked_layout(name: str) -> Layout:
    """The layout of that name. Raises UsageError."""
    if name not in LAYOUTS:
        raise UsageError(f"unknown layout {name!r}; expected one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def check_numbers(seed: int, images: tuple[int, int], height: int, workers: int | None) -> None:
    """Refuse numbers out of range. Raises UsageError."""
    if seed < 0:
        raise UsageError(f"seed is {seed}; expected 0 or more")
    low, high = images
    if not 2 <= low <= high <= 100:
        raise UsageError(f"images_per_identity is {low} to {high}; expected 2 <= fewest <= most <= 100")
    if not MIN_HEIGHT <= height <= MAX_HEIGHT:
        raise UsageError(f"image_height is {height} pixels; expected {MIN_HEIGHT} to {MAX_HEIGHT}")
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}; expected 1 or more")


def split_sizes(layout: Layout, identities: int, splits: tuple[int, int, int] | None) -> tuple[int, int, int]:
    """Identities in (train, val, test): `splits` if given and right, else the usual shares.

    Raises:
        UsageError: too few identities, or splits that do not fit them or the layout.
    """
    fewest = 3 if layout.has_val else 2
    if identities < fewest:
        raise UsageError(f"identities is {identities}; expected at least {fewest}, one for each split")
    if splits is None:
        test = max(1, identities * DEFAULT_SHARES[2] // 100)
        val = max(1, identities * DEFAULT_SHARES[1] // 100) if layout.has_val else 0
        return identities - val - test, val, test
    if sum(splits) != identities:
        raise UsageError(
            f"splits {splits} add up to {sum(splits)} identities, but identities is {identities}"
        )
    if splits[1] and not layout.has_val:
        raise UsageError(f"splits {splits}: the layout {layout.name!r} has no val split; give 0 for it")
    if splits[0] < 1 or splits[2] < 1 or (splits[1] < 1 and layout.has_val):
        raise UsageError(
            f"splits {splits}: every split that the layout {layout.name!r} has needs an identity"
        )
    return splits
