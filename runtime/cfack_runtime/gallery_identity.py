"""What a gallery takes over from the bundle that encodes its images."""

from __future__ import annotations

from pathlib import Path

from cfack_runtime.bundle import Bundle
from cfack_runtime.errors import UsageError
from cfack_runtime.gallery_index import INDEX_NAME, Identity, TokenShape, read_index
from cfack_runtime.gallery_layout import TOKEN_KINDS

NO_TOKENS = "none"
INT8_PASSED = "int8_tokens_passed"
"""Member of a precision's parity summary: re-ranking from INT8 tokens gave the same rankings."""


def bundle_identity(bundle: Bundle, root: Path, *, with_tokens: bool) -> Identity:
    """What a gallery of this bundle's embeddings says of itself.

    Args:
        bundle: what encodes.
        root: folder that image paths are relative to, absolute.
        with_tokens: keep image tokens.
    """
    geometry = bundle.manifest.geometry
    shape = TokenShape(geometry.image_token_count, geometry.image_token_width)
    return Identity(
        embedding_space=bundle.embedding_space,
        embed_dim=geometry.embed_dim,
        image_tokens=shape if with_tokens else None,
        bundle=str(bundle.path),
        root=str(root),
    )


def token_kind(
    gallery: str | Path,
    bundle: Bundle,
    precision: str,
    tokens: bool | str | None,
    *,
    allow_unmeasured: bool,
) -> str:
    """How tokens are to be kept: "fp16", "int8" or "none".

    Args:
        gallery: where; it need not be there.
        bundle: what encodes.
        precision: in which precision.
        tokens: what is asked for; True: "fp16"; False: "none"; None: as the gallery has them.
        allow_unmeasured: do not ask the bundle about INT8.

    Raises:
        UsageError: there is no such kind, or the bundle's parity gate did not pass INT8 tokens.
        GalleryError: the gallery is damaged.
    """
    found = _found_kind(Path(gallery))
    if isinstance(tokens, bool):
        tokens = "fp16" if tokens else NO_TOKENS
    kind = tokens or found or "fp16"
    if kind not in (*TOKEN_KINDS, NO_TOKENS):
        raise UsageError(f"tokens {kind!r}: a gallery keeps {', '.join(TOKEN_KINDS)} or {NO_TOKENS}")
    passed = bundle.manifest.parity.get(precision, {}).get(INT8_PASSED)
    if kind == "int8" and kind != found and passed is not True and not allow_unmeasured:
        why = "failed on" if passed is False else "has not measured"
        raise UsageError(
            f"tokens in INT8 are refused: the parity gate of {bundle.path} {why} them in precision "
            f"{precision}, so nobody knows what re-ranking loses; keep them in fp16, or allow it "
            "(--allow-unmeasured)"
        )
    return kind


def _found_kind(gallery: Path) -> str | None:
    """The kind of tokens that a gallery has; None: it has no image yet, or is not there."""
    if not (gallery / INDEX_NAME).exists():
        return None
    index = read_index(gallery)
    if index.identity.image_tokens is None:
        return NO_TOKENS
    return index.segments[-1].layout.tokens if index.segments else None
