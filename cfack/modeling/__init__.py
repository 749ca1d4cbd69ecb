"""The model: encoders, cross-encoder, heads, and the checkpoints that hold them."""

from cfack.modeling.build import build_model
from cfack.modeling.cfack import CFACK
from cfack.modeling.checkpoint import load_checkpoint
from cfack.modeling.features import ImageFeatures, TextFeatures, normalize_pixels

__all__ = ["CFACK", "ImageFeatures", "TextFeatures", "build_model", "load_checkpoint", "normalize_pixels"]
