"""How a model is trained: data, views, optimiser, schedule and the loop."""

from __future__ import annotations

from dataclasses import dataclass

from cfack_runtime.errors import ConfigError


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f'{name}: expected one of {", ".join(allowed)}; got "{value}"')


@dataclass(frozen=True)
class DataConfig:
    """Where the samples come from and how they are batched."""

    root: str = ""
    """A folder written by `cfack data prepare` or `synthesize`; `--data` wins over it."""
    batch_size: int = 32
    """Pairs per process and micro-batch."""
    eval_batch_size: int = 64
    num_workers: int = 4
    cache_images: bool = False
    """Keep decoded, resized images in memory; for small data sets."""


@dataclass(frozen=True)
class AugmentConfig:
    """The views of an image and of a caption (release state of November 2023 by default)."""

    weak: str = "resize"
    """"resize", or "flip": resize and a random horizontal flip."""
    strong: str = "randaugment"
    """"randaugment"; "uniform": UniformAugment before the resize; "flip": neither. All flip and erase."""
    flip_probability: float = 0.5
    erasing_probability: float = 0.6
    views: str = "code"
    """O1. "code": strong view to the online encoder, as released; "figure": as in the paper's figure."""
    text: str = "eda"
    """"none", "eda", or "back-translation": the annotation's precomputed captions_bt."""
    eda_sentences: int = 8
    mask: str = "whole-word"
    """"whole-word" spans, or "noun": needs spaCy and its en_core_web_sm."""
    mask_probability: float = 0.5
    max_masks: int = 12
    skip_gram_probability: float = 0.2
    skip_gram_size: int = 3

    def __post_init__(self) -> None:
        _one_of("augment.weak", self.weak, ("resize", "flip"))
        _one_of("augment.strong", self.strong, ("randaugment", "uniform", "flip"))
        _one_of("augment.views", self.views, ("code", "figure"))
        _one_of("augment.text", self.text, ("none", "eda", "back-translation"))
        _one_of("augment.mask", self.mask, ("whole-word", "noun"))


@dataclass(frozen=True)
class LossConfig:
    """Which terms are added; all have weight 1 unless said otherwise."""

    pairs: str = "contrastive"
    """"contrastive" with identity targets, or "sdm" (similarity distribution matching)."""
    cnn_weight: float = 0.5
    """Weight of the cross-knowledge term beside the six pairs."""
    momentum: float = 0.995
    learn_temperature: bool = True
    """Off: the temperature stays where it starts. SDM never learns it."""
    hard_negative_warmup: float = 0.0
    """Share of all steps over which the negatives of matching harden, from drawn uniformly to drawn by
    similarity; above 1 they do not get all the way. 0, as released, suits pretrained encoders; from random
    weights the matching head learns nothing from negatives that look like the positives to encoders that
    know nothing yet."""
    negatives_per_pair: int = 1
    """Images, and as many texts, that matching draws against each pair. 1, as released; more teach a small
    model more per step, for the fusion layers' time."""
    momentum_in_eval_mode: bool = False
    """O5: switch dropout and stochastic depth off in the momentum encoders."""

    def __post_init__(self) -> None:
        _one_of("loss.pairs", self.pairs, ("contrastive", "sdm"))
        if not 0.0 <= self.momentum <= 1.0:
            raise ConfigError(f"loss.momentum: expected a number between 0 and 1, got {self.momentum}")
        if not self.hard_negative_warmup >= 0.0:
            raise ConfigError(
                "loss.hard_negative_warmup: expected 0 or a share of the steps, "
                f"got {self.hard_negative_warmup}"
            )
        if self.negatives_per_pair < 1:
            raise ConfigError(f"loss.negatives_per_pair: expected at least 1, got {self.negatives_per_pair}")


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW and its parameter groups."""

    learning_rate: float = 1e-5
    vision_learning_rate: float | None = None
    """None: learning_rate."""
    text_learning_rate: float | None = None
    fusion_learning_rate: float | None = None
    new_parameter_factor: float = 2.0
    """Learning-rate factor of parameters that the starting checkpoint did not hold."""
    position_bias_factor: float = 1.0
    """Learning-rate factor of the relative-position tables, which start at zero: without pretrained ones they
    must grow before patches know where they are."""
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-8
    clip_norm: float | None = 1.0
    """None: no clipping, as released."""


@dataclass(frozen=True)
class ScheduleConfig:
    """Warm-up and cosine or linear decay over all optimiser steps."""

    name: str = "cosine"
    epochs: int = 31
    warmup_fraction: float = 0.1
    min_rate: float = 0.0
    """Lowest factor of the learning rate."""

    def __post_init__(self) -> None:
        _one_of("schedule.name", self.name, ("cosine", "linear"))


@dataclass(frozen=True)
class LoopConfig:
    """The loop itself."""

    accumulate_steps: int = 1
    precision: str = "auto"
    """"auto": bf16 on a GPU that has it, else fp16 on a GPU, else fp32."""
    seed: int = 42
    eval_every: int = 3
    """Epochs between evaluations; the last epoch is always evaluated."""
    rerank: int = 128
    """Candidates per query that the evaluation re-ranks; 0 leaves re-ranking out."""
    log_every: int = 50
    save_every: int = 0
    """Optimiser steps between saves inside an epoch; 0: at the end of each epoch only."""
    gradient_checkpointing: bool = False
    deterministic: bool = False
    """Ask torch for deterministic kernels; slower on a GPU."""

    def __post_init__(self) -> None:
        _one_of("train.precision", self.precision, ("auto", "fp32", "bf16", "fp16"))
