"""The text that a person who is handed a bundle reads first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cfack import __version__
from cfack_runtime.manifest import Geometry

_TEMPLATE = """\
# {name}

A CFACK model that finds images of pedestrians by a sentence, as ONNX graphs: two encoders propose
candidates, a cross-encoder re-ranks them. Running it needs neither PyTorch nor the code that trained it.

## Search

    pip install "cfack[cpu]"        # or "cfack[gpu]" for CUDA, never both
    cfack index photos/ --bundle {name} --out gallery/
    cfack search gallery/ "a woman with a red bag" -k 10 --sheet hits.png

In Python:

    from cfack_runtime.retriever import Retriever

    with Retriever.open("{name}") as retriever:
        gallery = retriever.index("photos/", out="gallery/")
        for hit in retriever.search(gallery, "a woman with a red bag", k=10, rerank=128):
            print(hit.path, hit.score)

## The model

| | |
|---|---|
| image | {height} x {width} pixels (height x width), RGB; any picture is resized to that |
| image tokens | {image_tokens} of width {image_width} |
| caption | at most {max_tokens} word pieces of a vocabulary of {vocab_size} |
| text tokens | width {text_width} |
| embedding | {embed_dim} numbers, unit length; the score is the cosine |
| embedding space | `{space}` |
| checkpoint | SHA-256 `{checkpoint}` |
| written by | cfack {version} |

Galleries carry the embedding space: one made by another model, tokenizer or image size is refused, and
never silently mixed with this one.

## Files

| file | |
|---|---|
| `manifest.json` | everything above for programs, with the hash of every file |
| `tokenizer.json` | the word pieces, for the `tokenizers` library |
| `onnx/fp32/image_encoder.onnx` | pixels to an embedding and tokens; scaling and normalisation are inside |
| `onnx/fp32/text_encoder.onnx` | token ids to an embedding and tokens |
| `onnx/fp32/reranker.onnx` | text and image tokens to two logits; the second one ranks |
| `parity.json` | the comparison below, output by output |

## Parity

Before this bundle was written, its graphs were run in {backend}
and compared with {reference}: at batch sizes and caption lengths
other than those of the export, with padding filled with garbage, and with one text for many images and the
reverse. Errors are the largest difference, relative to the largest value of the output where that is above 1.

| graph | output | cases | largest error | allowed | lowest cosine |
|---|---|---|---|---|---|
{parity}
"""


def bundle_readme(
    name: str, geometry: Geometry, embedding_space: str, checkpoint_sha256: str, report: Mapping[str, Any]
) -> str:
    """Write a bundle's README.md.

    Args:
        name: of the bundle's folder.
        geometry: the sizes of the model.
        embedding_space: its identity.
        checkpoint_sha256: hash of the weights.
        report: the FP32 part of `parity.json`.
    """
    return _TEMPLATE.format(
        name=name,
        height=geometry.image_height,
        width=geometry.image_width,
        image_tokens=geometry.image_token_count,
        image_width=geometry.image_token_width,
        max_tokens=geometry.max_tokens,
        vocab_size=geometry.vocab_size,
        text_width=geometry.text_token_width,
        embed_dim=geometry.embed_dim,
        space=embedding_space,
        checkpoint=checkpoint_sha256,
        version=__version__,
        backend=report["backend"],
        reference=report["reference"],
        parity="\n".join(
            f"| {graph} | {output} | {figures['cases']} | {figures['error']:.1e} | "
            f"{figures['tolerance']:.0e} | {figures['min_cosine']:.7f} |"
            for graph, outputs in report["graphs"].items()
            for output, figures in outputs.items()
        ),
    )
