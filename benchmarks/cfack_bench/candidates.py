"""What is compared: one way to run one precision."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ONNXRUNTIME, TENSORRT, TENSORRT_RTX = "onnxruntime", "tensorrt", "tensorrt-rtx"
PLAIN, PYTORCH, COMPILED, AUTOCAST = "plain-onnxruntime", "pytorch", "torch-compile", "torch-autocast"

BUILDERS = (TENSORRT, TENSORRT_RTX)
"""Their engines run on a GPU only."""
ENGINES = (ONNXRUNTIME, *BUILDERS)
"""Backends of the runtime: the precisions of a bundle run in them."""
BASELINES = (PLAIN, PYTORCH, COMPILED, AUTOCAST)
"""What a user would have without this project."""
NEED_CHECKPOINT = (PYTORCH, COMPILED, AUTOCAST)

MEASURED, REFUSED = "measured", "refused"


@dataclass(frozen=True)
class Candidate:
    """One way to run one precision, in a process of its own."""

    backend: str
    """One of `ENGINES` or `BASELINES`."""
    precision: str
    device: str
    threads: int
    """Of one operator; in every library that the candidate uses."""

    @property
    def id(self) -> str:
        """Name within a run, for example "onnxruntime/fp32"."""
        device = "" if self.device == "cpu" else f"@{self.device}"
        return f"{self.backend}{device}/{self.precision}"


@dataclass(frozen=True)
class Account:
    """A candidate with its accuracy: without one that passed, no speed."""

    candidate: Candidate
    status: str
    """`MEASURED`, or `REFUSED`: the parity gate did not pass, so nothing of it is timed."""
    parity: dict[str, Any] | None
    """The precision's summary out of the bundle; None for a baseline, which is compared with itself."""
    note: str = ""
    """Why it was refused, or what its accuracy is known from."""
    model_bytes: int = 0
    """Files that are loaded: the graphs, or the checkpoint's weights."""


@dataclass(frozen=True)
class NotRun:
    """Something that a reader may miss."""

    what: str
    reason: str
    command: str = ""
    """What would run it."""


@dataclass
class Lineup:
    """Everything that takes part, and what does not."""

    accounts: list[Account] = field(default_factory=list)
    not_run: list[NotRun] = field(default_factory=list)

    @property
    def measured(self) -> list[Account]:
        """Accounts of those that are timed."""
        return [account for account in self.accounts if account.status == MEASURED]

    @property
    def gpu(self) -> str:
        """The GPU that takes part, "cpu" if none does."""
        return next((a.candidate.device for a in self.measured if a.candidate.device != "cpu"), "cpu")

    def drop(self, candidate: Candidate, missing: NotRun) -> None:
        """Take a candidate out and say why."""
        self.accounts = [account for account in self.accounts if account.candidate != candidate]
        self.not_run.append(missing)
