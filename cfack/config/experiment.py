"""A whole experiment: the model and how it is trained."""

from __future__ import annotations

from dataclasses import dataclass, field

from cfack.config.model import ModelConfig
from cfack.config.switches import Switches
from cfack.config.training import (
    AugmentConfig,
    DataConfig,
    LoopConfig,
    LossConfig,
    OptimizerConfig,
    ScheduleConfig,
)
from cfack_runtime.errors import ConfigError


@dataclass(frozen=True)
class ExperimentConfig:
    """What a TOML file holds; each field is a table of that name."""

    mode: str = "clean"
    """"clean", or "official": every switch on; a `[switches]` table overrides single ones."""
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    train: LoopConfig = field(default_factory=LoopConfig)
    switches: Switches = field(default_factory=Switches)

    def __post_init__(self) -> None:
        if self.mode not in ("clean", "official"):
            raise ConfigError(f"mode: expected one of clean, official, got {self.mode!r}")
