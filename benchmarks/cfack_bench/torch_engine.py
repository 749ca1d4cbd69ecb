"""Baselines in PyTorch: eager, `torch.compile`, and autocast. The only module here that loads torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray

from cfack.modeling import CFACK, normalize_pixels
from cfack.modeling.checkpoint import load_checkpoint, load_tokenizer
from cfack_bench.candidates import AUTOCAST, COMPILED, Candidate
from cfack_bench.device.call import DeviceCall
from cfack_bench.engines import FloatArray, match_batch
from cfack_bench.staged import staged_query
from cfack_bench.workload import Workload
from cfack_runtime.backends import Feed
from cfack_runtime.encoders import EncodedImages, EncodedTexts
from cfack_runtime.errors import UsageError
from cfack_runtime.gallery import Gallery
from cfack_runtime.graph_contract import IMAGE_ENCODER, RERANKER, TEXT_ENCODER
from cfack_runtime.tokenizer import CaptionTokenizer, EncodedCaptions


class TorchEngine:
    """A checkpoint in evaluation mode; results come back to host memory, as NumPy arrays."""

    def __init__(self, candidate: Candidate, workload: Workload) -> None:
        if workload.checkpoint is None:
            raise UsageError(f"{candidate.backend} needs the checkpoint: give --checkpoint")
        torch.set_num_threads(candidate.threads)
        self._device = torch.device("cuda:0" if candidate.device == "cuda" else candidate.device)
        self._half = candidate.backend == AUTOCAST
        self._tokenizer = load_tokenizer(workload.checkpoint)
        model: CFACK = load_checkpoint(workload.checkpoint).to(self._device)
        self._image, self._text, self._match = model.encode_image, model.encode_text, model.match
        if candidate.backend == COMPILED:
            # Sizes change from call to call; compiled for each of them, a benchmark would only compile.
            self._image = torch.compile(model.encode_image, dynamic=True)
            self._text = torch.compile(model.encode_text, dynamic=True)
            self._match = torch.compile(model.match, dynamic=True)
        self._works = {
            IMAGE_ENCODER: self._image_work,
            TEXT_ENCODER: self._text_work,
            RERANKER: self._match_work,
        }

    @property
    def tokenizer(self) -> CaptionTokenizer:
        """The checkpoint's, which is also the bundle's."""
        return self._tokenizer

    @property
    def device(self) -> str:
        """See `Engine`."""
        return str(self._device)

    @torch.inference_mode()
    def encode_images(self, pixels: NDArray[np.uint8]) -> EncodedImages:
        """See `Engine`."""
        embedding, tokens = self._image_work({"pixels": torch.from_numpy(pixels).to(self._device)})
        return EncodedImages(_numpy(embedding), _numpy(tokens))

    @torch.inference_mode()
    def encode_texts(self, captions: EncodedCaptions) -> EncodedTexts:
        """See `Engine`."""
        ids, mask = self._tensor(captions.input_ids), self._tensor(captions.attention_mask)
        embedding, tokens = self._text_work({"input_ids": ids, "attention_mask": mask})
        return EncodedTexts(_numpy(embedding), _numpy(tokens), captions.attention_mask)

    @torch.inference_mode()
    def match(
        self, text_tokens: FloatArray, mask: NDArray[np.int64], image_tokens: FloatArray
    ) -> NDArray[np.float32]:
        """See `Engine`."""
        texts, masks = self._tensor(text_tokens), self._tensor(mask)
        batch = match_batch(image_tokens, self.device)
        logits = []
        for start in range(0, len(image_tokens), batch):
            images = self._tensor(image_tokens[start : start + batch]).float()
            tensors = {"text_tokens": texts, "attention_mask": masks, "image_tokens": images}
            logits.append(_numpy(self._match_work(tensors)[0]))
        return np.concatenate(logits)

    def read_tokens(self, gallery: Gallery, places: NDArray[np.int64]) -> FloatArray:
        """See `Engine`."""
        return gallery.tokens(places)

    def search(self, gallery: Gallery, caption: str, k: int, rerank: int) -> None:
        """See `Engine`."""
        staged_query(self, gallery, caption, k, rerank)

    def device_call(self, graph: str, feed: Feed, *, cuda_graph: bool) -> DeviceCall:
        """See `Engine`."""
        from cfack_bench.device.torch_call import TorchCall

        return TorchCall(self._works[graph], feed, self._device, cuda_graph=cuda_graph)

    def close(self) -> None:
        """Nothing to free before the process ends."""

    def _image_work(self, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        with self._precision():
            found = self._image(normalize_pixels(tensors["pixels"]))
        return found.embedding, found.tokens

    def _text_work(self, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        with self._precision():
            found = self._text(tensors["input_ids"], tensors["attention_mask"])
        return found.embedding, found.tokens

    def _match_work(self, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        with self._precision():
            images = tensors["image_tokens"]
            return (self._match(tensors["text_tokens"], tensors["attention_mask"], images),)

    def _tensor(self, array: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _precision(self) -> AbstractContextManager[object]:
        if not self._half:
            return nullcontext()
        kind = torch.bfloat16 if self._device.type == "cpu" else torch.float16
        # What is cast while a CUDA graph is captured must be cast again when it is replayed.
        return torch.autocast(self._device.type, dtype=kind, cache_enabled=self._device.type == "cpu")


def _numpy(tensor: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.float().cpu().numpy()
    return array
