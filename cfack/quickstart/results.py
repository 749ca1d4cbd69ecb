"""What a quickstart measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cfack_runtime.metrics import RetrievalMetrics


@dataclass(frozen=True)
class Row:
    """One way to answer a query: what it finds and how long it takes."""

    name: str
    metrics: RetrievalMetrics
    milliseconds: float
    """Median wall time of one query, from the sentence to the ranked images; nothing else runs."""


@dataclass(frozen=True)
class QuickstartResult:
    """Figures and files of one quickstart."""

    rows: tuple[Row, ...]
    queries: int
    gallery: int
    identities: int
    """Of the gallery; training saw none of them."""
    rerank: int
    """Candidates per query that were re-ranked."""
    score: str
    """What these were put in order by; see `cfack_runtime.scoring`."""
    seconds: dict[str, float]
    """Wall time of each stage."""
    total_seconds: float
    machine: dict[str, str]
    folder: Path
    bundle: Path
    gallery_folder: Path
    contact_sheet: Path

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; paths are relative to the quickstart's folder."""
        values = asdict(self)
        del values["folder"]
        for name in ("bundle", "gallery_folder", "contact_sheet"):
            values[name] = Path(values[name]).relative_to(self.folder).as_posix()
        return values
