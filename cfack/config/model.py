"""The geometry of a model: everything that decides the shape of a weight."""

from __future__ import annotations

from dataclasses import dataclass, field

from cfack.config.checks import BELOW_ONE, COUNT, NOT_NEGATIVE, POSITIVE, check, one_of
from cfack_runtime.errors import ConfigError


@dataclass(frozen=True)
class VisionConfig:
    """BEiT-v2 vision encoder. Defaults: the published model."""

    image_height: int = 384
    image_width: int = 384
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.1
    init_values: float = 0.1
    layer_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        sizes = ("image_height", "image_width", "patch_size", "width", "depth", "num_heads")
        check(
            "model.vision",
            self,
            dict.fromkeys(sizes, COUNT)
            | {
                "mlp_ratio": POSITIVE,
                "drop_path_rate": BELOW_ONE,
                "init_values": NOT_NEGATIVE,
                "layer_norm_eps": POSITIVE,
            },
        )
        for side in (self.image_height, self.image_width):
            if side % self.patch_size:
                raise ConfigError(
                    f"model.vision: an image of {self.image_height} x {self.image_width} cannot be cut into "
                    f"patches of {self.patch_size}; both sides must be multiples of patch_size"
                )
        if self.width % self.num_heads:
            raise ConfigError(
                f"model.vision: width {self.width} is not a multiple of num_heads {self.num_heads}"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Patches per column and per row."""
        return self.image_height // self.patch_size, self.image_width // self.patch_size


@dataclass(frozen=True)
class TextConfig:
    """BERT text encoder followed by the fusion layers. Defaults: the published model."""

    tokenizer: str = "bert-base-uncased"
    """A hub name, a local folder, a vocab.txt or tokenizer.json, or "captions": a WordPiece vocabulary
    built from the training captions. A tokenizer that lies beside a checkpoint wins over this."""
    vocab_size: int = 30522
    width: int = 768
    num_heads: int = 12
    intermediate_size: int = 3072
    num_text_layers: int = 12
    num_fusion_layers: int = 6
    max_positions: int = 512
    max_tokens: int = 40
    """Word pieces per caption, [CLS] and [SEP] included."""
    dropout: float = 0.1
    layer_norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "width", "num_heads", "intermediate_size", "max_positions")
        layers = ("num_text_layers", "num_fusion_layers")
        check(
            "model.text",
            self,
            dict.fromkeys((*sizes, *layers), COUNT) | {"dropout": BELOW_ONE, "layer_norm_eps": POSITIVE},
        )
        if self.width % self.num_heads:
            raise ConfigError(
                f"model.text: width {self.width} is not a multiple of num_heads {self.num_heads}"
            )
        if not 3 <= self.max_tokens <= self.max_positions:
            raise ConfigError(
                f"model.text: max_tokens must lie between 3 and max_positions = {self.max_positions}, "
                f"got {self.max_tokens}"
            )


@dataclass(frozen=True)
class CnnConfig:
    """The convolutional branch of cross-knowledge conversion; used in training only."""

    name: str = "convnext_base.fb_in22k_ft_in1k"
    """Any timm model name."""
    head: str = "linear"
    """"linear": pooled trunk and a linear layer; "timm": the timm model's own classifier, normalised."""
    image_height: int = 224
    image_width: int = 224
    pretrained: bool = True
    """Start from timm's weights where a network is at hand and no checkpoint brings them."""

    def __post_init__(self) -> None:
        check(
            "model.cnn",
            self,
            {"head": one_of("linear", "timm"), "image_height": COUNT, "image_width": COUNT},
        )


@dataclass(frozen=True)
class ModelConfig:
    """One CFACK model."""

    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    cnn: CnnConfig | None = field(default_factory=CnnConfig)
    embed_dim: int = 256
    momentum: bool = True
    """Keep momentum copies of both encoders (complete feature aggregation needs them)."""
    mlm: bool = True
    """Keep a masked-language-model head."""
    num_identities: int = 0
    """Classes of the identity loss; 0 leaves it out."""
    temperature: float = 0.07
    """Start value; a checkpoint's own value wins."""

    def __post_init__(self) -> None:
        check(
            "model",
            self,
            {"embed_dim": COUNT, "num_identities": NOT_NEGATIVE, "temperature": POSITIVE},
        )
