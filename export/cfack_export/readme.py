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
| `onnx/PRECISION/image_encoder.onnx` | pixels to an embedding and tokens; normalisation is inside |
| `onnx/PRECISION/text_encoder.onnx` | token ids to an embedding and tokens |
| `onnx/PRECISION/reranker.onnx` | text and image tokens to two logits; the second one ranks |
| `onnx/PRECISION/reranker_one_*.onnx` | the same for one text with many images and the reverse, faster |
| `parity.json` | the comparison below, output by output |

## Parity

Before this bundle was written, its graphs were compared with {reference}:
at batch sizes and caption lengths other than those of the export, beside other rows and alone, with padding
filled with garbage. Errors are the largest difference, relative to the largest value of the output where that
is above 1.
{split}
| precision | verdict | {columns} |
|---|---|{rule}
{parity}
"""


_COLUMNS = {
    "image_encoder_error": ("image encoder error", ".1e"),
    "text_encoder_error": ("text encoder error", ".1e"),
    "reranker_error": ("re-ranker error", ".1e"),
    "dual_r1": ("R@1", ".1f"),
    "dual_r1_change": ("change", "+.2f"),
    "reranked_r1": ("R@1 re-ranked", ".1f"),
    "reranked_r1_change": ("change", "+.2f"),
}


def bundle_readme(
    name: str,
    geometry: Geometry,
    embedding_space: str,
    checkpoint_sha256: str,
    document: Mapping[str, Any],
    summaries: Mapping[str, Mapping[str, Any]],
) -> str:
    """Write a bundle's README.md.

    Args:
        name: of the bundle's folder.
        geometry: the sizes of the model.
        embedding_space: its identity.
        checkpoint_sha256: hash of the weights.
        document: `parity.json`.
        summaries: precision -> what the manifest says of it.
    """
    columns = {
        key: column for key, column in _COLUMNS.items() if any(key in report for report in summaries.values())
    }
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
        reference=document["reference"],
        split=_split(document["split"]),
        columns=" | ".join(title for title, _ in columns.values()),
        rule="---|" * len(columns),
        parity="\n".join(
            f"| {precision} | {'passed' if report['passed'] else 'refused: not run'} | "
            + " | ".join(_figure(report.get(key), form) for key, (_, form) in columns.items())
            + " |"
            for precision, report in summaries.items()
        ),
    )


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _split(split: Mapping[str, Any] | None) -> str:
    if split is None:
        return "Retrieval was not measured: the export was given no data.\n"
    return (
        f"\nRetrieval: {split['captions']} captions and {split['images']} images of the {split['split']} "
        f"split of {split['dataset']}; changes are points against PyTorch.\n"
    )
