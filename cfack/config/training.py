"""How a model is trained: data, views, optimiser, schedule and the loop."""

from __future__ import annotations

from dataclasses import dataclass

from cfack.config.checks import BELOW_ONE, COUNT, NOT_NEGATIVE, POSITIVE, SHARE, check, one_of


@dataclass(frozen=True)
class DataConfig:
    """Where the samples come from and how they are batched."""

    root: str = ""
    """A folder written by `cfack data prepare`; `--data` wins over it."""
    batch_size: int = 32
    """Pairs per process and micro-batch."""
    eval_batch_size: int = 64
    num_workers: int = 4
    cache_images: bool = False
    """Keep decoded, resized images in memory; for small data sets."""

    def __post_init__(self) -> None:
        check("data", self, {"batch_size": COUNT, "eval_batch_size": COUNT, "num_workers": NOT_NEGATIVE})


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
        check(
            "augment",
            self,
            {
                "weak": one_of("resize", "flip"),
                "strong": one_of("randaugment", "uniform", "flip"),
                "views": one_of("code", "figure"),
                "text": one_of("none", "eda", "back-translation"),
                "mask": one_of("whole-word", "noun"),
                "flip_probability": SHARE,
                "erasing_probability": SHARE,
                "eda_sentences": COUNT,
                "mask_probability": SHARE,
                "max_masks": COUNT,
                "skip_gram_probability": SHARE,
                "skip_gram_size": COUNT,
            },
        )


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
        check(
            "loss",
            self,
            {
                "pairs": one_of("contrastive", "sdm"),
                "cnn_weight": NOT_NEGATIVE,
                "momentum": SHARE,
                "hard_negative_warmup": NOT_NEGATIVE,
                "negatives_per_pair": COUNT,
            },
        )


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

    def __post_init__(self) -> None:
        rates = ("learning_rate", "vision_learning_rate", "text_learning_rate", "fusion_learning_rate")
        factors = ("new_parameter_factor", "position_bias_factor", "weight_decay", "eps")
        check(
            "optimizer",
            self,
            dict.fromkeys((*rates, *factors), NOT_NEGATIVE)
            | {"beta1": BELOW_ONE, "beta2": BELOW_ONE, "clip_norm": POSITIVE},
        )


@dataclass(frozen=True)
class ScheduleConfig:
    """Warm-up and cosine or linear decay over all optimiser steps."""

    name: str = "cosine"
    epochs: int = 31
    warmup_fraction: float = 0.1
    min_rate: float = 0.0
    """Lowest factor of the learning rate."""

    def __post_init__(self) -> None:
        check(
            "schedule",
            self,
            {
                "name": one_of("cosine", "linear"),
                "epochs": COUNT,
                "warmup_fraction": SHARE,
                "min_rate": SHARE,
            },
        )


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
        check(
            "train",
            self,
            {
                "accumulate_steps": COUNT,
                "precision": one_of("auto", "fp32", "bf16", "fp16"),
                "seed": NOT_NEGATIVE,
                "eval_every": COUNT,
                "rerank": NOT_NEGATIVE,
                "log_every": COUNT,
                "save_every": NOT_NEGATIVE,
            },
        )
