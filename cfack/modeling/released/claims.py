"""What a source says about a model's geometry, and the one geometry that all sources agree on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cfack_runtime.errors import CheckpointError


@dataclass(frozen=True)
class Claim:
    """One source's word on one number of the geometry."""

    path: str
    """Field of `ModelConfig`, for example "vision.width"."""
    value: Any
    source: str
    """What messages call the source."""


def settle(claims: Iterable[Claim]) -> dict[str, Any]:
    """One value for each path.

    Raises:
        CheckpointError: lists every contradiction with both its sources.
    """
    settled: dict[str, Claim] = {}
    faults = []
    for claim in claims:
        first = settled.setdefault(claim.path, claim)
        if first.value != claim.value:
            faults.append(f"{claim.path}: {first.value} by {first.source}; {claim.value} by {claim.source}")
    if faults:
        listed = "".join(f"\n  - {fault}" for fault in faults)
        raise CheckpointError(f"weights and configuration contradict each other:{listed}")
    return {path: claim.value for path, claim in settled.items()}
