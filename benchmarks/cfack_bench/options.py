"""What `cfack bench` is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from cfack_bench.lineup import Wanted
from cfack_bench.suite import ImageEncoding, OpenLoop, Suite
from cfack_bench.suite_file import load_suite
from cfack_runtime.errors import UsageError
from cfack_runtime.scoring import LOGIT

NAME = r"[\w.-]+"
"""Names of results: they stand in file names and in the markers of documents."""


@dataclass(frozen=True)
class BenchOptions:
    """One run."""

    bundle: Path
    suite: Suite = field(default_factory=lambda: load_suite("quick"))
    suite_name: str = "quick"
    wanted: Wanted = field(default_factory=Wanted)
    data: Path | None = None
    gallery: Path | None = None
    batch: tuple[int, ...] = ()
    """Takes the place of the suite's image batches."""
    rates: tuple[float, ...] = ()
    """Arrivals a second; take the place of the suite's loads."""
    score: str = LOGIT
    """What candidates are put in order by where accuracy is measured; one of `SCORES` of `cfack_runtime`."""
    budget: float | None = None
    """Seconds for everything."""
    name: str = ""
    seed: int = 0
    command: str = "cfack bench BUNDLE"
    """That would measure the same, without paths."""

    def __post_init__(self) -> None:
        if self.name and not re.fullmatch(NAME, self.name):
            raise UsageError(f"--name {self.name!r}: expected letters, digits, '.', '_' and '-'")
        if self.score != LOGIT and self.data is None:
            raise UsageError(f"--score {self.score} is for R@1, which is measured where --data is given")

    @property
    def results_name(self) -> str:
        """As given, or that of the bundle."""
        return self.name or self.bundle.resolve().stem

    @property
    def asked_suite(self) -> Suite:
        """The suite with what was asked for in the place of its own."""
        suite = self.suite
        if self.batch:
            suite = replace(suite, image_encoding=ImageEncoding(self.batch))
        if self.rates:
            suite = replace(suite, open_loop=replace(suite.open_loop or OpenLoop(), rates=self.rates))
        return suite

    @property
    def command_without_budget(self) -> str:
        """That would measure all of it, however long it takes."""
        return re.sub(r" --budget \S+", "", self.command)
