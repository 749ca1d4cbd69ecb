"""The model in PyTorch, the same in graphs, and inputs drawn once.

PyTorch's side is the released evaluation's: captions padded to the longest, every pair on its own, FP32, with
this project's modules.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cfack.modeling import CFACK, normalize_pixels
from cfack.modeling.checkpoint import load_checkpoint, load_tokenizer
from cfack_runtime.backends import Backend, open_backend
from cfack_runtime.encoders import EncodedTexts, ImageEncoder, images_per_call
from cfack_runtime.graph_contract import IMAGE_ENCODER, ONE_IMAGE, ONE_TEXT, RERANKER, TEXT_ENCODER
from cfack_runtime.manifest import Geometry
from cfack_runtime.rerank import Reranker
from cfack_runtime.rerank_candidates import match_candidates
from cfack_runtime.rerank_plan import PairCost

PRECISIONS = ("fp32", "int8-cpu")
TOKENS = 24
"""Of a caption of usual length."""
_SHORTEST, _LONGEST = 16, 32
_GRAPHS = (IMAGE_ENCODER, TEXT_ENCODER, RERANKER, ONE_TEXT, ONE_IMAGE)


class Subject:
    """What is timed.

    Args:
        work: folder with `checkpoint/` and one folder of graphs for each precision.
        threads: of ONNX Runtime.
        queries: Q; the first has `TOKENS` tokens, the others 16 to 32.
        candidates: of each query.
        gallery: images.
    """

    def __init__(self, work: Path, threads: int, *, queries: int, candidates: int, gallery: int) -> None:
        self.model: CFACK = load_checkpoint(work / "checkpoint").eval()
        self.candidates_each, self.gallery = candidates, gallery
        self._backends: dict[str, dict[str, Backend]] = {
            precision: {
                name: open_backend(work / precision / f"{name}.onnx", threads=threads) for name in _GRAPHS
            }
            for precision in PRECISIONS
        }
        rng = np.random.default_rng(0)
        config = self.model.config
        self._padded = config.text.max_tokens
        self.tokens = min(TOKENS, self._padded)
        self._ids = rng.integers(5, load_tokenizer(work / "checkpoint").vocab_size, (1, self.tokens))
        size = (config.vision.image_height, config.vision.image_width)
        self.pixels = rng.integers(0, 256, (8, *size, 3), np.uint8)
        rows, columns = config.vision.grid
        self._geometry = Geometry(
            *size,
            image_token_count=1 + rows * columns,
            image_token_width=config.vision.width,
            text_token_width=config.text.width,
            embed_dim=config.embed_dim,
            max_tokens=self._padded,
            vocab_size=config.text.vocab_size,
        )
        shape = (gallery, 1 + rows * columns, config.vision.width)
        self._images = rng.standard_normal(shape, np.float32).astype(np.float16)
        self.lengths = np.minimum(rng.integers(_SHORTEST, _LONGEST + 1, queries), self._padded)
        self.lengths[0] = self.tokens
        mask = (np.arange(self.lengths.max()) < self.lengths[:, None]).astype(np.int64)
        tokens = rng.standard_normal((*mask.shape, config.text.width), np.float32)
        tokens *= mask[..., None].astype(np.float32)
        self._texts = EncodedTexts(np.zeros((queries, config.embed_dim), np.float32), tokens, mask)
        self._candidates = [rng.permutation(gallery)[:candidates].astype(np.int64) for _ in range(queries)]

    def caption(self, precision: str) -> None:
        """Encode the caption, by the runtime's way."""
        feed = {"input_ids": self._ids, "attention_mask": np.ones_like(self._ids)}
        self._backends[precision][TEXT_ENCODER].run(feed)

    def encode_images(self, precision: str) -> None:
        """Encode the images, by the runtime's way."""
        geometry = self._geometry
        encoder = ImageEncoder(self._backends[precision][IMAGE_ENCODER], geometry, images_per_call(geometry))
        encoder.encode(self.pixels)

    def rerank(self, precision: str, queries: int) -> list[np.ndarray]:
        """Match the first queries with their candidates, by the runtime's way: logits (K, 2) of each."""
        graphs = self._backends[precision]
        embedding, tokens, mask = self._texts
        length = int(self.lengths[:queries].max())
        texts = EncodedTexts(embedding[:queries], tokens[:queries, :length], mask[:queries, :length])
        return match_candidates(
            Reranker(graphs[RERANKER], graphs[ONE_TEXT], graphs[ONE_IMAGE]),
            texts,
            self._candidates[:queries],
            self._images.__getitem__,
            PairCost.of(self._geometry, folded=True),
        )

    @torch.no_grad()
    def torch_caption(self) -> Any:
        """Encode the caption, padded."""
        ids = torch.zeros(1, self._padded, dtype=torch.int64)
        ids[:, : self.tokens] = torch.from_numpy(self._ids)
        return self.model.encode_text(ids, (torch.arange(self._padded) < self.tokens).long()[None])

    @torch.no_grad()
    def torch_images(self) -> Any:
        """Encode the images."""
        return self.model.encode_image(normalize_pixels(torch.from_numpy(self.pixels)))

    def torch_compiled_images(self) -> Callable[[], Any]:
        """Compile the image encoder; the first call of what comes back does the work."""
        return torch.compile(self.torch_images)

    @torch.no_grad()
    def torch_rerank(self, query: int = 0) -> torch.Tensor:
        """Match one query with its candidates as the released evaluation does: all padded pairs at once."""
        pad = self._padded - self._texts.mask.shape[1]
        tokens = torch.from_numpy(np.pad(self._texts.tokens[query : query + 1], ((0, 0), (0, pad), (0, 0))))
        mask = torch.from_numpy(np.pad(self._texts.mask[query : query + 1], ((0, 0), (0, pad))))
        images = torch.from_numpy(self._images[self._candidates[query]].astype(np.float32))
        each = self.candidates_each
        return self.model.match(tokens.repeat(each, 1, 1), mask.repeat(each, 1), images)

    def same_ranking(self) -> dict[str, dict[str, Any]]:
        """Both precisions against PyTorch, for the first query by both ways."""
        wanted = self.torch_rerank().numpy()
        answers: dict[str, dict[str, Any]] = {}
        for precision in PRECISIONS:
            for way, queries in (("by query", 1), ("by image", min(6, len(self.lengths)))):
                got = self.rerank(precision, queries)[0]
                first = [np.argsort(-logits[:, 1], kind="stable")[:10] for logits in (wanted, got)]
                answers[f"{precision}, {way}"] = {
                    "max_logit_difference": float(np.abs(got - wanted).max()),
                    "top_10_identical": bool((first[0] == first[1]).all()),
                }
        return answers
