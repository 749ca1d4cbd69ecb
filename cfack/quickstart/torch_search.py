"""One query at a time with the PyTorch model: what the exported search is compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfack.modeling import CFACK, normalize_pixels
from cfack_runtime.images import load_image
from cfack_runtime.ranking import rerank_order, top_k
from cfack_runtime.scoring import Scoring
from cfack_runtime.tokenizer import CaptionTokenizer

_BATCH = 64


class TorchSearch:
    """A gallery in memory, searched by sentences.

    Args:
        model: in evaluation mode.
        tokenizer: the model's.
        paths: G gallery images.
        scoring: what re-ranked candidates are put in order by.
    """

    def __init__(
        self, model: CFACK, tokenizer: CaptionTokenizer, paths: list[Path], scoring: Scoring
    ) -> None:
        self._model, self._tokenizer, self._scoring = model, tokenizer, scoring
        vision = model.config.vision
        embeddings, tokens = [], []
        for start in range(0, len(paths), _BATCH):
            batch = paths[start : start + _BATCH]
            pixels = np.stack([load_image(path, vision.image_height, vision.image_width) for path in batch])
            with torch.inference_mode():
                features = model.encode_image(normalize_pixels(torch.from_numpy(pixels)))
            embeddings.append(features.embedding.numpy())
            tokens.append(features.tokens)
        self._embeddings: NDArray[np.float32] = np.concatenate(embeddings)  # (G, D)
        self._tokens: Tensor = torch.cat(tokens)  # (G, 1+N, C)

    @torch.inference_mode()
    def search(self, caption: str, rerank: int) -> NDArray[np.int64]:
        """Rank the gallery for one sentence: (1, G) indices, the first `rerank` in match order."""
        encoded = self._tokenizer.encode([caption])
        mask = torch.from_numpy(encoded.attention_mask)
        text = self._model.encode_text(torch.from_numpy(encoded.input_ids), mask)
        found = top_k(text.embedding.numpy(), self._embeddings, len(self._embeddings))
        if not rerank:
            return found.indices
        candidates = torch.from_numpy(found.indices[0, :rerank])
        logits = self._model.match(text.tokens, mask, self._tokens[candidates])  # (K, 2)
        scores = self._scoring.ranked_by(logits.numpy(), found.scores[0, :rerank])
        return rerank_order(found.indices, scores[None])
