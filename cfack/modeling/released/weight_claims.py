"""The geometry of released weights, as far as their shapes and the families they hold tell it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

from cfack.modeling.key_translation import first_fusion_layer
from cfack.modeling.released.claims import Claim
from cfack.modeling.released.patch_grid import indexed_grid, patch_size
from cfack_runtime.errors import CheckpointError


def claims_of_weights(state: Mapping[str, Tensor]) -> Iterator[Claim]:
    """What shapes and the presence of families say; a key that is absent says nothing here.

    Args:
        state: tensors under the released keys.

    Raises:
        CheckpointError: a layer in the middle is absent, or the position indices are those of no grid.
    """

    def size(path: str, key: str, axis: int, divisor: int = 1) -> Iterator[Claim]:
        if key in state and state[key].dim() > axis:
            value = state[key].shape[axis] / divisor if divisor > 1 else state[key].shape[axis]
            yield Claim(path, value, f"{key} {tuple(state[key].shape)}")

    bert = (
        "text_encoder.bert."
        if any(key.startswith("text_encoder.bert.") for key in state)
        else "text_encoder."
    )
    patches = "vision_encoder.patch_embed.proj.weight"
    fc1 = "vision_encoder.blocks.0.mlp.fc1.weight"
    yield from size("vision.width", patches, 0)
    yield from size("vision.patch_size", patches, 3)
    yield from size("vision.num_heads", "vision_encoder.blocks.0.attn.relative_position_bias_table", 1)
    yield from size("vision.mlp_ratio", fc1, 0, divisor=state[fc1].shape[-1] if fc1 in state else 1)
    yield from size("text.vocab_size", f"{bert}embeddings.word_embeddings.weight", 0)
    yield from size("text.width", f"{bert}embeddings.word_embeddings.weight", 1)
    yield from size("text.max_positions", f"{bert}embeddings.position_embeddings.weight", 0)
    yield from size("text.intermediate_size", f"{bert}encoder.layer.0.intermediate.dense.weight", 0)
    yield from size("embed_dim", "vision_proj.weight", 0)
    yield from _claims_of_depth(state, bert)
    grid = indexed_grid(state)
    if grid:
        yield from claims_of_grid(grid, state, "the file's relative_position_index")
    for path, family in (
        ("mlm", "text_encoder.cls."),
        ("momentum", "vision_encoder_m."),
        ("cnn", "cnn_encoder."),
    ):
        present = any(key.startswith(family) for key in state)
        yield Claim(path, present, f"the weights, which have {'some' if present else 'no'} {family}*")
    if "classifier.weight" in state:
        yield from size("num_identities", "classifier.weight", 0)
    else:
        yield Claim("num_identities", 0, "the weights, which have no classifier.*")


def _claims_of_depth(state: Mapping[str, Tensor], bert: str) -> Iterator[Claim]:
    blocks = _count(state, "vision_encoder.blocks")
    layers = _count(state, f"{bert}encoder.layer")
    start = first_fusion_layer(state)
    if blocks:
        yield Claim(
            "vision.depth", blocks, f"the weights, whose last block is vision_encoder.blocks.{blocks - 1}"
        )
    crossed = f"the weights, where text layers {start} to {layers - 1} have crossattention"
    yield Claim("text.num_text_layers", start, crossed)
    yield Claim("text.num_fusion_layers", layers - start, crossed)


def _count(state: Mapping[str, Tensor], family: str) -> int:
    """Layers of a family such as `vision_encoder.blocks`, numbered without a gap."""
    pattern = re.compile(rf"{re.escape(family)}\.(\d+)\.")
    numbers = {int(found[1]) for found in map(pattern.match, state) if found}
    gap = next((n for n in range(len(numbers)) if n not in numbers), None)
    if gap is not None:
        raise CheckpointError(f"missing: {family}.{gap}.*, though the file has {family}.{max(numbers)}.*")
    return len(numbers)


def claims_of_grid(grid: tuple[int, int], state: Mapping[str, Tensor], source: str) -> Iterator[Claim]:
    """The image size in pixels behind a grid of (height, width) patches."""
    patch = patch_size(state)
    for side, patches in zip(("height", "width"), grid, strict=True):
        yield Claim(
            f"vision.image_{side}",
            patches * patch,
            f"{source} ({grid[0]} x {grid[1]} patches of {patch} pixels)",
        )
