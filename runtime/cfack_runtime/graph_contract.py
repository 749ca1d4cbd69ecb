"""Names, types and shapes of the three graphs, which every bundle's graphs must have.

B images or captions, H and W pixels, N patches, T text tokens, C token width, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

from cfack_runtime.errors import BundleError
from cfack_runtime.manifest import Geometry, TensorSpec

IMAGE_ENCODER, TEXT_ENCODER, RERANKER = "image_encoder", "text_encoder", "reranker"
GRAPHS = (IMAGE_ENCODER, TEXT_ENCODER, RERANKER)

Signature = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]
"""Inputs and outputs."""

_TOKENS = frozenset({"image_tokens", "text_tokens"})
"""These may be float16 as well as float32."""


def graph_signatures(geometry: Geometry) -> dict[str, Signature]:
    """Graph name -> inputs and outputs, with float32 tokens."""
    pixels = TensorSpec("pixels", "uint8", ("batch", geometry.image_height, geometry.image_width, 3))
    image_token_shape = (geometry.image_token_count, geometry.image_token_width)
    text_token_shape = ("length", geometry.text_token_width)
    return {
        IMAGE_ENCODER: (
            (pixels,),
            (
                TensorSpec("image_embedding", "float32", ("batch", geometry.embed_dim)),
                TensorSpec("image_tokens", "float32", ("batch", *image_token_shape)),
            ),
        ),
        TEXT_ENCODER: (
            (
                TensorSpec("input_ids", "int64", ("batch", "length")),
                TensorSpec("attention_mask", "int64", ("batch", "length")),
            ),
            (
                TensorSpec("text_embedding", "float32", ("batch", geometry.embed_dim)),
                TensorSpec("text_tokens", "float32", ("batch", *text_token_shape)),
            ),
        ),
        RERANKER: (
            (
                TensorSpec("text_tokens", "float32", ("text_batch", *text_token_shape)),
                TensorSpec("attention_mask", "int64", ("text_batch", "length")),
                TensorSpec("image_tokens", "float32", ("image_batch", *image_token_shape)),
            ),
            (TensorSpec("match_logits", "float32", ("batch", 2)),),
        ),
    }


def check_tensors(got: Sequence[TensorSpec], expected: Sequence[TensorSpec], where: str) -> None:
    """Check that tensors have the names, types and shapes of the contract, in any order.

    A free axis must be free, whatever its name; a fixed one must have its size; tokens may be float16.

    Raises:
        BundleError: they differ; the message shows both.
    """
    wanted = {spec.name: spec for spec in expected}
    named = {spec.name: spec for spec in got}
    if len(named) == len(got) and named.keys() == wanted.keys():
        wrong = [spec for name, spec in named.items() if not _fits(spec, wanted[name])]
        if not wrong:
            return
    raise BundleError(f"{where}: has ({_describe(got)}), expected ({_describe(expected)}); export again")


def _fits(got: TensorSpec, expected: TensorSpec) -> bool:
    half = got.name in _TOKENS and got.dtype == "float16"
    return (
        (got.dtype == expected.dtype or half)
        and len(got.shape) == len(expected.shape)
        and all(
            isinstance(axis, str) if isinstance(wanted, str) else axis == wanted
            for axis, wanted in zip(got.shape, expected.shape, strict=True)
        )
    )


def _describe(specs: Sequence[TensorSpec]) -> str:
    return "; ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in specs)
