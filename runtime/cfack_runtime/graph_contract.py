"""Names, types and shapes of the three graphs that every precision has, and of the two that it may have.

B images or captions, H and W pixels, N patches, T text tokens, C token width, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

from cfack_runtime.errors import BundleError
from cfack_runtime.manifest import Geometry, TensorSpec

IMAGE_ENCODER, TEXT_ENCODER, RERANKER = "image_encoder", "text_encoder", "reranker"
GRAPHS = (IMAGE_ENCODER, TEXT_ENCODER, RERANKER)
ONE_TEXT, ONE_IMAGE = "reranker_one_text", "reranker_one_image"
REWRITES = (ONE_TEXT, ONE_IMAGE)
"""The re-ranker written for one text with many images, and for one image with many texts. Both give what the
re-ranker gives, for a fraction of its operations; a reader that does not know them loses nothing but time."""

Signature = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]
"""Inputs and outputs."""

_TOKENS = frozenset({"image_tokens", "text_tokens"})
"""These may be float16 as well as float32."""


def graph_signatures(geometry: Geometry, token_dtype: str = "float32") -> dict[str, Signature]:
    """Name -> inputs and outputs of the three graphs that every precision has.

    Args:
        geometry: the sizes of the model.
        token_dtype: of text and image tokens, "float32" or "float16".
    """
    pixels = TensorSpec("pixels", "uint8", ("batch", geometry.image_height, geometry.image_width, 3))
    image_token_shape = (geometry.image_token_count, geometry.image_token_width)
    text_token_shape = ("length", geometry.text_token_width)
    return {
        IMAGE_ENCODER: (
            (pixels,),
            (
                TensorSpec("image_embedding", "float32", ("batch", geometry.embed_dim)),
                TensorSpec("image_tokens", token_dtype, ("batch", *image_token_shape)),
            ),
        ),
        TEXT_ENCODER: (
            (
                TensorSpec("input_ids", "int64", ("batch", "length")),
                TensorSpec("attention_mask", "int64", ("batch", "length")),
            ),
            (
                TensorSpec("text_embedding", "float32", ("batch", geometry.embed_dim)),
                TensorSpec("text_tokens", token_dtype, ("batch", *text_token_shape)),
            ),
        ),
        RERANKER: (
            (
                TensorSpec("text_tokens", token_dtype, ("text_batch", *text_token_shape)),
                TensorSpec("attention_mask", "int64", ("text_batch", "length")),
                TensorSpec("image_tokens", token_dtype, ("image_batch", *image_token_shape)),
            ),
            (TensorSpec("match_logits", "float32", ("batch", 2)),),
        ),
    }


def rewrite_signatures(geometry: Geometry, token_dtype: str = "float32") -> dict[str, Signature]:
    """Name -> inputs and outputs of the two graphs that a precision may have; see `graph_signatures`."""
    (text_tokens, mask, image_tokens), outputs = graph_signatures(geometry, token_dtype)[RERANKER]
    return {
        ONE_TEXT: (
            (_with_batch(text_tokens, 1), _with_batch(mask, 1), _with_batch(image_tokens, "batch")),
            outputs,
        ),
        ONE_IMAGE: (
            (_with_batch(text_tokens, "batch"), _with_batch(mask, "batch"), _with_batch(image_tokens, 1)),
            outputs,
        ),
    }


def all_signatures(geometry: Geometry, token_dtype: str = "float32") -> dict[str, Signature]:
    """Name -> inputs and outputs of all graphs of the contract; see `graph_signatures`."""
    return {**graph_signatures(geometry, token_dtype), **rewrite_signatures(geometry, token_dtype)}


def _with_batch(spec: TensorSpec, batch: int | str) -> TensorSpec:
    return TensorSpec(spec.name, spec.dtype, (batch, *spec.shape[1:]))


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
