"""Engine profiles: which calls an engine takes, and the calls at its edges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cfack_export.parity.feeds import Feed
from cfack_runtime.engine import Profile


def fits(feed: Feed, profiles: Iterable[Profile]) -> bool:
    """Whether one of the profiles takes a call."""
    return any(
        all(shapes.contains(feed[name].shape) for name, shapes in profile.items()) for profile in profiles
    )


def edges(profiles: Iterable[Profile], axes: Sequence[tuple[str, int]]) -> list[tuple[int, ...]]:
    """The smallest, best and largest sizes of some axes in every profile, without repeats.

    Args:
        profiles: of one graph's engine.
        axes: (input, axis), in the order wanted.
    """
    found = set()
    for profile in profiles:
        for edge in ("min", "opt", "max"):
            found.add(tuple(int(getattr(profile[name], edge)[axis]) for name, axis in axes))
    return sorted(found)
