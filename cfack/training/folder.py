"""The output folder of a run: its files, and how they stay usable whenever the run is killed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from cfack.config import ExperimentConfig
from cfack.modeling import CFACK
from cfack.modeling.checkpoint import save_checkpoint
from cfack_runtime.errors import UsageError
from cfack_runtime.tokenizer import CaptionTokenizer


@dataclass(frozen=True)
class RunFolder:
    """Where a run writes."""

    path: Path

    @property
    def best(self) -> Path:
        """Checkpoint with the best R@1 so far."""
        return self.path / "best"

    @property
    def last(self) -> Path:
        """Checkpoint of the last saved state."""
        return self.path / "last"

    @property
    def state(self) -> Path:
        """What a resumed run continues from."""
        return self.path / "training_state.pt"

    @property
    def config(self) -> Path:
        """The configuration as the run uses it."""
        return self.path / "config.toml"

    def check(self, resume: bool) -> None:
        """See whether a run may write here.

        Raises:
            UsageError: the folder holds something and `resume` is off, or it is on and there is no run.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file; give a folder as --output-dir")
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        if not resume:
            raise UsageError(
                f"{self.path} is not empty; continue its run with --resume, or give another --output-dir"
            )
        if not self.config.is_file():
            raise UsageError(f"{self.path} holds files but no run to resume; give another --output-dir")

    def clean_up(self) -> None:
        """Remove what a kill in the middle of a save has left behind."""
        for pattern in (".best.*", ".last.*", "..best.*", "..last.*", ".training_state.pt.*"):
            for entry in self.path.glob(pattern):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def keep_checkpoint(path: Path, model: CFACK, config: ExperimentConfig, tokenizer: CaptionTokenizer) -> None:
    """Write a checkpoint folder, or replace one so that a whole checkpoint is there at every moment.

    Geometry and tokenizer do not change within a run, so old and new files fit each other, and each is
    replaced by a rename. Swapping the folders would leave none for an instant.
    """
    if not path.exists():
        save_checkpoint(path, model, config, tokenizer)
        return
    fresh = path.with_name(f".{path.name}.new")
    save_checkpoint(fresh, model, config, tokenizer, overwrite=True)
    for file in fresh.iterdir():
        file.replace(path / file.name)
    fresh.rmdir()
