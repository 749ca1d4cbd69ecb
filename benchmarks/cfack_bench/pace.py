"""How long visits may be, and how much time is left."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

_SAFETY = 0.8
_GRACE = 3.0
"""Seconds beyond the budget that a visit under way may still take."""


@dataclass
class Pace:
    """The time of a run."""

    visits: int
    """That are planned."""
    deadline: float | None = None
    """On `time.perf_counter`."""
    done: int = 0
    _cost: dict[tuple[str, str], float] = field(default_factory=dict)

    def visit_seconds(self, wanted: float) -> float:
        """As the suite says, or less if the budget asks for that."""
        if self.deadline is None:
            return wanted
        left = max(0.0, self.deadline - time.perf_counter())
        return min(wanted, _SAFETY * left / max(1, self.visits))

    @property
    def is_over(self) -> bool:
        """Whether no time is left for any visit."""
        return self.deadline is not None and time.perf_counter() >= self.deadline

    def allows(self, candidate: str, case: str, seconds: float) -> bool:
        """Whether a visit fits, that takes as long as its last one, or `seconds` if it is the first."""
        if self.deadline is None:
            return True
        return time.perf_counter() + self._cost.get((candidate, case), seconds) <= self.deadline

    def count(self, candidate: str, case: str, seconds: float) -> None:
        """A visit was made, and took so long."""
        self.done += 1
        self._cost[candidate, case] = seconds

    def patience(self) -> float | None:
        """Seconds that a visit may take at most; a first one may turn out long."""
        return None if self.deadline is None else max(1.0, self.deadline - time.perf_counter() + _GRACE)

    @property
    def share(self) -> float:
        """Of the visits that were made."""
        return self.done / max(1, self.visits)

    @property
    def left(self) -> float | None:
        """Seconds that the visits still to come take, by those that were made; at most the budget."""
        if not self._cost:
            return None
        estimate = (self.visits - self.done) * sum(self._cost.values()) / len(self._cost)
        if self.deadline is None:
            return estimate
        return min(estimate, max(0.0, self.deadline - time.perf_counter()))
