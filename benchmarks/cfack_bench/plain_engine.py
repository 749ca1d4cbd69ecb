"""Baseline: the FP32 graphs in ONNX Runtime with its defaults, called as its documentation shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_bench.candidates import Candidate
from cfack_bench.engines import FloatArray, match_batch
from cfack_bench.staged import staged_query
from cfack_bench.workload import Workload
from cfack_runtime.bundle import Bundle
from cfack_runtime.encoders import EncodedImages, EncodedTexts
from cfack_runtime.errors import BackendError
from cfack_runtime.gallery import Gallery
from cfack_runtime.graph_contract import GRAPHS
from cfack_runtime.tokenizer import CaptionTokenizer, EncodedCaptions


class PlainEngine:
    """One session a graph: no rewrites, no session options but the number of threads."""

    def __init__(self, candidate: Candidate, workload: Workload) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendError(f"onnxruntime is missing ({error}); run `pip install 'cfack[cpu]'`") from error
        bundle = Bundle.open(workload.bundle, check_graphs=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = candidate.threads
        self._sessions: dict[str, Any] = {
            name: onnxruntime.InferenceSession(
                str(bundle.graph_path(candidate.precision, name)),
                options,
                providers=["CPUExecutionProvider"],
            )
            for name in GRAPHS
        }
        self._tokenizer = bundle.tokenizer

    @property
    def tokenizer(self) -> CaptionTokenizer:
        """The bundle's."""
        return self._tokenizer

    def encode_images(self, pixels: NDArray[np.uint8]) -> EncodedImages:
        """See `Engine`."""
        return EncodedImages(*self._run("image_encoder", ("image_embedding", "image_tokens"), pixels=pixels))

    def encode_texts(self, captions: EncodedCaptions) -> EncodedTexts:
        """See `Engine`."""
        ids, mask = captions.input_ids, captions.attention_mask
        names = ("text_embedding", "text_tokens")
        embedding, tokens = self._run("text_encoder", names, input_ids=ids, attention_mask=mask)
        return EncodedTexts(embedding, tokens, mask)

    def match(
        self, text_tokens: FloatArray, mask: NDArray[np.int64], image_tokens: FloatArray
    ) -> NDArray[np.float32]:
        """See `Engine`."""
        batch = match_batch(image_tokens)
        logits = [
            self._run(
                "reranker",
                ("match_logits",),
                text_tokens=text_tokens,
                attention_mask=mask,
                image_tokens=image_tokens[start : start + batch].astype(text_tokens.dtype),
            )[0]
            for start in range(0, len(image_tokens), batch)
        ]
        return np.concatenate(logits)

    def search(self, gallery: Gallery, caption: str, k: int, rerank: int) -> None:
        """See `Engine`."""
        staged_query(self, gallery, caption, k, rerank)

    def close(self) -> None:
        """Free the sessions."""
        self._sessions.clear()

    def _run(self, graph: str, outputs: tuple[str, ...], **feed: NDArray[Any]) -> list[Any]:
        return list(self._sessions[graph].run(list(outputs), feed))
