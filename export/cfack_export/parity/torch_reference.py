"""PyTorch as the reference; the one module of the gate that imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cfack.modeling import CFACK, normalize_pixels
from cfack_export.graphs import geometry
from cfack_export.parity.feeds import Feed, Run
from cfack_export.parity.reference import Reference, compute_reference, gate_inputs
from cfack_export.parity.sample import SplitSample
from cfack_runtime.graph_contract import IMAGE_ENCODER, RERANKER, TEXT_ENCODER
from cfack_runtime.progress import ProgressCallback, no_progress
from cfack_runtime.tokenizer import CaptionTokenizer

REFERENCE = f"PyTorch {torch.__version__} (CPU, float32)"


def torch_runs(model: CFACK) -> dict[str, Run]:
    """The model's public calls under the names of the graphs, which share no code with an export.

    Args:
        model: in evaluation mode and float32, on the CPU.
    """

    def image_encoder(feed: Feed) -> Mapping[str, NDArray[Any]]:
        image = model.encode_image(normalize_pixels(_tensor(feed["pixels"])))
        return {"image_embedding": image.embedding.numpy(), "image_tokens": image.tokens.numpy()}

    def text_encoder(feed: Feed) -> Mapping[str, NDArray[Any]]:
        text = model.encode_text(_tensor(feed["input_ids"]), _tensor(feed["attention_mask"]))
        return {"text_embedding": text.embedding.numpy(), "text_tokens": text.tokens.numpy()}

    def reranker(feed: Feed) -> Mapping[str, NDArray[Any]]:
        names = ("text_tokens", "attention_mask", "image_tokens")
        return {"match_logits": model.match(*(_tensor(feed[name]) for name in names)).numpy()}

    graphs = {IMAGE_ENCODER: image_encoder, TEXT_ENCODER: text_encoder, RERANKER: reranker}
    return {name: torch.inference_mode()(run) for name, run in graphs.items()}


def torch_reference(
    model: CFACK,
    tokenizer: CaptionTokenizer,
    sample: SplitSample | None,
    *,
    progress: ProgressCallback = no_progress,
) -> Reference:
    """Compute the reference of a model; see `compute_reference`."""
    inputs = gate_inputs(geometry(model.config), tokenizer, sample)
    return compute_reference(REFERENCE, torch_runs(model), inputs, progress=progress)


def _tensor(values: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.array(values))  # a copy: a view of read-only memory is warned about
