"""Configurations: frozen dataclasses read from TOML. Modules receive plain values, never a file."""

from cfack.config.experiment import ExperimentConfig
from cfack.config.model import CnnConfig, ModelConfig, TextConfig, VisionConfig
from cfack.config.switches import Switches
from cfack.config.toml import dump_config, load_config, parse_config, preset_names, with_overrides
from cfack.config.training import (
    AugmentConfig,
    DataConfig,
    LoopConfig,
    LossConfig,
    OptimizerConfig,
    ScheduleConfig,
)

__all__ = [
    "AugmentConfig",
    "CnnConfig",
    "DataConfig",
    "ExperimentConfig",
    "LoopConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "ScheduleConfig",
    "Switches",
    "TextConfig",
    "VisionConfig",
    "dump_config",
    "load_config",
    "parse_config",
    "preset_names",
    "with_overrides",
]
