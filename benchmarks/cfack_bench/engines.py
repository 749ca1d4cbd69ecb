"""What a candidate does, as functions of arrays; the same for the runtime and for the baselines.

Shapes: B images or texts, K candidates, T text tokens, N patches, C token width, D embedding.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cfack_bench.candidates import ENGINES, ONNXRUNTIME, PLAIN, Candidate
from cfack_bench.device.call import DeviceCall
from cfack_bench.workload import Workload
from cfack_runtime.backends import Feed
from cfack_runtime.encoders import EncodedImages, EncodedTexts
from cfack_runtime.gallery import Gallery
from cfack_runtime.tokenizer import CaptionTokenizer, EncodedCaptions

FloatArray = NDArray[np.floating[Any]]


class Engine(Protocol):
    """A candidate, loaded. Every call returns when its result is in host memory."""

    @property
    def tokenizer(self) -> CaptionTokenizer:
        """The bundle's."""

    @property
    def device(self) -> str:
        """Where it runs: "cpu", "cuda" or "cuda:N"."""

    def encode_images(self, pixels: NDArray[np.uint8]) -> EncodedImages:
        """Encode pixels (B, H, W, 3), all in one call of the graph."""

    def encode_texts(self, captions: EncodedCaptions) -> EncodedTexts:
        """Encode ids and mask (B, T), all in one call of the graph."""

    def match(
        self, text_tokens: FloatArray, mask: NDArray[np.int64], image_tokens: FloatArray
    ) -> NDArray[np.float32]:
        """Match one text (1, T, C) with images (K, 1+N, C): logits (K, 2)."""

    def read_tokens(self, gallery: Gallery, places: NDArray[np.int64]) -> FloatArray:
        """Read the image tokens (K, 1+N, C) at places (K,) of a gallery, as a query of the candidate does."""

    def search(self, gallery: Gallery, caption: str, k: int, rerank: int) -> None:
        """Answer a whole query as a user of the candidate would."""

    def device_call(self, graph: str, feed: Feed, *, cuda_graph: bool) -> DeviceCall:
        """Bind one graph at one shape to a GPU; asked of candidates on one only.

        Raises:
            CfackError: it cannot be run there, or not captured.
        """

    def close(self) -> None:
        """Free everything."""


def open_engine(candidate: Candidate, workload: Workload) -> Engine:
    """Load a candidate; imports what it needs and nothing else.

    Raises:
        CfackError: what it needs is not here, or does not load.
    """
    if candidate.backend in ENGINES:
        return BundleEngine(candidate, workload)
    if candidate.backend == PLAIN:
        from cfack_bench.plain_engine import PlainEngine

        return PlainEngine(candidate, workload)
    from cfack_bench.torch_engine import TorchEngine

    return TorchEngine(candidate, workload)


class BundleEngine:
    """The runtime, as a deployment uses it."""

    def __init__(self, candidate: Candidate, workload: Workload) -> None:
        from cfack_runtime.retriever import Retriever

        self._candidate = candidate
        # ONNX Runtime is what `open` uses where nothing is said.
        choice: dict[str, Any] = {} if candidate.backend == ONNXRUNTIME else {"backend": candidate.backend}
        self._retriever = Retriever.open(
            workload.bundle,
            precision=candidate.precision,
            device=candidate.device,
            threads=candidate.threads,
            **choice,
        )

    @property
    def tokenizer(self) -> CaptionTokenizer:
        """The bundle's."""
        return self._retriever.bundle.tokenizer

    @property
    def device(self) -> str:
        """See `Engine`."""
        return self._candidate.device

    def encode_images(self, pixels: NDArray[np.uint8]) -> EncodedImages:
        """See `Engine`."""
        return self._retriever.image_encoder.encode(pixels, batch_size=len(pixels))

    def encode_texts(self, captions: EncodedCaptions) -> EncodedTexts:
        """See `Engine`."""
        return self._retriever.text_encoder.encode_ids(captions, batch_size=len(captions.input_ids))

    def match(
        self, text_tokens: FloatArray, mask: NDArray[np.int64], image_tokens: FloatArray
    ) -> NDArray[np.float32]:
        """See `Engine`."""
        return self._retriever.reranker.match(
            text_tokens, mask, image_tokens, match_batch(image_tokens, self.device)
        )

    def read_tokens(self, gallery: Gallery, places: NDArray[np.int64]) -> FloatArray:
        """See `Engine`: from the cache, as far as the tokens are in it."""
        return self._retriever.token_cache.read(gallery, places)

    def search(self, gallery: Gallery, caption: str, k: int, rerank: int) -> None:
        """See `Engine`."""
        self._retriever.search(gallery, caption, k=k, rerank=rerank)

    def device_call(self, graph: str, feed: Feed, *, cuda_graph: bool) -> DeviceCall:
        """See `Engine`."""
        from cfack_bench.device.open import open_device_call

        bundle, loaded = self._retriever.bundle, self._retriever.graphs
        return open_device_call(bundle, self._candidate, graph, feed, loaded, cuda_graph=cuda_graph)

    def close(self) -> None:
        """Free the graphs."""
        self._retriever.close()


def match_batch(image_tokens: FloatArray, device: str) -> int:
    """Pairs per call, by the runtime's own rule."""
    from cfack_runtime.encoders import pair_batch

    return pair_batch(image_tokens.shape[1] * image_tokens.shape[2], device)
