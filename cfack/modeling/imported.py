"""A released file turned into a model of ours, and the note on its origin that is kept beside the weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfack.config import ExperimentConfig
from cfack.modeling.cfack import CFACK
from cfack.modeling.checkpoint import save_checkpoint
from cfack.modeling.load_report import LoadReport
from cfack_runtime.errors import CheckpointError
from cfack_runtime.files import sha256_file
from cfack_runtime.tokenizer import CaptionTokenizer

ORIGIN_FILE = "import.json"


@dataclass(frozen=True)
class Imported:
    """The result of one import."""

    source: Path
    kind: str
    """"CFACK" or "X²-VLM"."""
    model: CFACK
    config: ExperimentConfig
    report: LoadReport
    notes: tuple[str, ...] = ()
    """One for each key of the file's configuration that is not used."""

    def save(self, out: str | Path, tokenizer: CaptionTokenizer | None, *, overwrite: bool = False) -> None:
        """Write a checkpoint folder with the note on its origin. Raises UsageError as `save_checkpoint`."""
        origin = {
            "format": 1,
            "source": {"file": self.source.name, "sha256": sha256_file(self.source), "kind": self.kind},
            **self.report.to_json(),
            "notes": list(self.notes),
        }
        text = json.dumps(origin, indent=1, ensure_ascii=False) + "\n"
        save_checkpoint(
            out, self.model, self.config, tokenizer, overwrite=overwrite, extra_files={ORIGIN_FILE: text}
        )


def names_not_in_source(path: Path) -> frozenset[str]:
    """Parameters of a checkpoint folder that the file it was imported from did not hold.

    Empty for a folder that training wrote.

    Raises:
        CheckpointError: the note on the origin is damaged.
    """
    file = path / ORIGIN_FILE
    if not file.is_file():
        return frozenset()
    try:
        origin: Any = json.loads(file.read_text(encoding="utf-8"))
        return frozenset(name for names in origin["filled"].values() for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{file} is damaged ({error}); import the released file again") from error
