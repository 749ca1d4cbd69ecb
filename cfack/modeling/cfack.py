"""The CFACK model: two encoders, a cross-encoder, and what training hangs on them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cfack.config import ModelConfig
from cfack.modeling.cnn_branch import CnnBranch
from cfack.modeling.features import ImageFeatures, TextFeatures
from cfack.modeling.fusion_encoder import FusionEncoder
from cfack.modeling.heads import MaskedLanguageHead, MatchingHead
from cfack.modeling.momentum import MomentumEncoders
from cfack.modeling.projection import embed
from cfack.modeling.text_encoder import TextEncoder
from cfack.modeling.vision_encoder import VisionEncoder
from cfack_runtime.errors import UsageError


class CFACK(nn.Module):
    """Text-to-image person retrieval: two encoders find candidates, a cross-encoder re-ranks them.

    Built by `cfack.modeling.build_model`. The parts that only training uses may be None.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        vision_encoder: VisionEncoder,
        text_encoder: TextEncoder,
        fusion_encoder: FusionEncoder,
        matching_head: MatchingHead,
        mlm_head: MaskedLanguageHead | None,
        cnn_branch: CnnBranch | None,
        identity_classifier: nn.Linear | None,
    ) -> None:
        super().__init__()
        self.config = config
        self.vision_encoder = vision_encoder
        self.text_encoder = text_encoder
        self.fusion_encoder = fusion_encoder
        self.vision_projection = nn.Linear(config.vision.width, config.embed_dim)
        self.text_projection = nn.Linear(config.text.width, config.embed_dim)
        self.matching_head = matching_head
        self.mlm_head = mlm_head
        self.cnn_branch = cnn_branch
        self.identity_classifier = identity_classifier
        self.temperature = nn.Parameter(torch.tensor(config.temperature))
        self.momentum: MomentumEncoders | None = None
        if config.momentum:
            self.momentum = MomentumEncoders(
                vision_encoder, text_encoder, self.vision_projection, self.text_projection
            )

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """Encode normalised images float (B, 3, H, W); `normalize_pixels` makes them.

        Raises:
            UsageError: the images are not of the model's size.
        """
        tokens = self.vision_encoder(images)
        return ImageFeatures(tokens, embed(self.vision_projection, tokens))

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> TextFeatures:
        """Encode token ids int64 (B, T) under their mask (B, T), 1 for a token and 0 for padding."""
        tokens = self.text_encoder(input_ids, attention_mask)
        return TextFeatures(tokens, embed(self.text_projection, tokens))

    def match(self, text_tokens: Tensor, attention_mask: Tensor, image_tokens: Tensor) -> Tensor:
        """Judge pairs with the cross-encoder.

        Args:
            text_tokens: (B, T, C) out of `encode_text`.
            attention_mask: (B, T).
            image_tokens: (B, 1+N, C') out of `encode_image`. One text may meet many images, and one image
                many texts: a batch of 1 serves every row of the other side.

        Returns:
            (B, 2) logits; the matching score is logit 1.

        Raises:
            UsageError: the batches differ and neither is 1.
        """
        texts, images = text_tokens.shape[0], image_tokens.shape[0]
        # An exporter's symbolic sizes must not be pinned by this question.
        if not torch.compiler.is_compiling() and texts != images and 1 not in (texts, images):
            raise UsageError(
                f"match got {texts} texts and {images} images; expected as many of both, or one of either"
            )
        fused = self.fusion_encoder(text_tokens, attention_mask, image_tokens)
        return self.matching_head(fused[:, 0])  # type: ignore[no-any-return]  # nn.Module

    def set_fused_attention(self, enabled: bool) -> None:
        """Choose between torch's fused attention (the default) and plain matmul and softmax.

        The plain form is what ONNX export needs: timm's fused attention does not decompose with a symbolic
        batch.
        """
        for encoder in (self.vision_encoder, self.text_encoder, self.fusion_encoder):
            encoder.set_fused_attention(enabled)

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Trade time for memory in training: recompute activations in the backward pass."""
        for part in (self.vision_encoder, self.text_encoder, self.fusion_encoder, self.cnn_branch):
            if part is not None:
                part.set_gradient_checkpointing(enabled)
