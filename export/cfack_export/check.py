"""Exported graphs against PyTorch: every output, at sizes that the exporter has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cfack.modeling import CFACK, normalize_pixels
from cfack_export.cases import Feed, ParityCase, image_cases, pair_cases, text_cases
from cfack_export.parity import GraphParity, OutputParity, combine, compare
from cfack_runtime.errors import BackendError, ParityError
from cfack_runtime.graph_contract import IMAGE_ENCODER, TEXT_ENCODER
from cfack_runtime.tokenizer import CaptionTokenizer

Run = Callable[[Feed], Mapping[str, NDArray[Any]]]
"""Runs a graph: input name -> array in, output name -> array out."""


def check_graph(graph: str, run: Run, model: CFACK, tokenizer: CaptionTokenizer) -> GraphParity:
    """Run one exported graph and the model it came from on the same cases.

    Args:
        graph: its name.
        run: the exported graph.
        model: PyTorch's side, in evaluation mode.
        tokenizer: of the captions.

    Raises:
        ParityError: an output is too far away, or a case cannot be run; names graph, case, output, error.
    """
    measured: dict[str, list[OutputParity]] = {}
    for case in _cases(graph, model, tokenizer):
        got = _run(graph, case, run)
        for output, expected in reference(graph, model, case.clean).items():
            values = got[output]
            if case.counts is not None and expected.ndim == 3:  # tokens; embeddings count as they are
                values, expected = values[case.counts], expected[case.counts]
            measured.setdefault(output, []).append(compare(graph, case.name, output, values, expected))
    return GraphParity(graph, tuple(combine(results) for results in measured.values()))


def reference(graph: str, model: CFACK, feed: Feed) -> dict[str, NDArray[np.float32]]:
    """What a graph must return, computed by the model's public calls."""
    tensors = {name: torch.from_numpy(np.array(values)) for name, values in feed.items()}
    with torch.inference_mode():
        if graph == IMAGE_ENCODER:
            image = model.encode_image(normalize_pixels(tensors["pixels"]))
            outputs = {"image_embedding": image.embedding, "image_tokens": image.tokens}
        elif graph == TEXT_ENCODER:
            text = model.encode_text(**tensors)
            outputs = {"text_embedding": text.embedding, "text_tokens": text.tokens}
        else:
            outputs = {"match_logits": model.match(**tensors)}
    return {name: output.numpy() for name, output in outputs.items()}


def _cases(graph: str, model: CFACK, tokenizer: CaptionTokenizer) -> Iterable[ParityCase]:
    if graph == IMAGE_ENCODER:
        return image_cases(model.config)
    if graph == TEXT_ENCODER:
        return text_cases(model.config, tokenizer)
    *_, images = image_cases(model.config)
    texts = next(case for case in text_cases(model.config, tokenizer) if case.name.startswith("batch 5"))
    return pair_cases(
        reference(TEXT_ENCODER, model, texts.clean)["text_tokens"],
        texts.clean["attention_mask"],
        reference(IMAGE_ENCODER, model, images.clean)["image_tokens"],
    )


def _run(graph: str, case: ParityCase, run: Run) -> Mapping[str, NDArray[Any]]:
    try:
        return run(case.feed)
    except BackendError as error:
        shapes = {name: values.shape for name, values in case.feed.items()}
        raise ParityError(f"{graph}, case {case.name!r}, inputs {shapes}: cannot be run: {error}") from error
