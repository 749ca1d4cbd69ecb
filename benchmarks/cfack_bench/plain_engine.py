"""Baseline: the FP32 graphs in ONNX Runtime with its defaults, called as its documentation begins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_bench.candidates import Candidate
from cfack_bench.device.call import DeviceCall
from cfack_bench.engines import FloatArray, match_batch
from cfack_bench.staged import staged_query
from cfack_bench.workload import Workload
from cfack_runtime.backends import Feed
from cfack_runtime.backends.onnxruntime_cuda import load_cuda_libraries
from cfack_runtime.bundle import Bundle
from cfack_runtime.encoders import EncodedImages, EncodedTexts
from cfack_runtime.errors import BackendError, UsageError
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
        provider: Any = "CPUExecutionProvider"
        if candidate.device != "cpu":
            load_cuda_libraries(onnxruntime)
            provider = ("CUDAExecutionProvider", {"device_id": candidate.device.partition(":")[2] or "0"})
        bundle = Bundle.open(workload.bundle, check_graphs=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = candidate.threads
        self._sessions: dict[str, Any] = {
            name: onnxruntime.InferenceSession(
                str(bundle.graph_path(candidate.precision, name)),
                options,
                providers=[provider],
            )
            for name in GRAPHS
        }
        for session in self._sessions.values():  # a provider that cannot be had is left out without an error
            if candidate.device != "cpu" and "CUDAExecutionProvider" not in session.get_providers():
                raise BackendError(
                    f"ONNX Runtime cannot use {candidate.device}, only {', '.join(session.get_providers())}; "
                    "run `cfack doctor`"
                )
        self._tokenizer, self._device = bundle.tokenizer, candidate.device

    @property
    def tokenizer(self) -> CaptionTokenizer:
        """The bundle's."""
        return self._tokenizer

    @property
    def device(self) -> str:
        """See `Engine`."""
        return self._device

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
        batch = match_batch(image_tokens, self._device)
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

    def read_tokens(self, gallery: Gallery, places: NDArray[np.int64]) -> FloatArray:
        """See `Engine`."""
        return gallery.tokens(places)

    def search(self, gallery: Gallery, caption: str, k: int, rerank: int) -> None:
        """See `Engine`."""
        staged_query(self, gallery, caption, k, rerank)

    def device_call(self, graph: str, feed: Feed, *, cuda_graph: bool) -> DeviceCall:
        """See `Engine`: a plain user binds nothing."""
        raise UsageError("plain calls are not bound to a device")

    def close(self) -> None:
        """Free the sessions."""
        self._sessions.clear()

    def _run(self, graph: str, outputs: tuple[str, ...], **feed: NDArray[Any]) -> list[Any]:
        return list(self._sessions[graph].run(list(outputs), feed))
