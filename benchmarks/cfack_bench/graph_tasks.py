"""Cases that are one graph, or one product, at one size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cfack_bench.cases import GPU_IMAGES, GPU_RERANKING, GPU_TEXTS, IMAGES, RERANKING, SEARCH, TEXTS, Case
from cfack_bench.device.call import PARTS, DeviceCall, timed_call
from cfack_bench.engines import Engine
from cfack_bench.gallery import random_embeddings
from cfack_bench.visits import Limits, Visit, repeat, timed
from cfack_bench.workload import Workload, random_ids, read_pixels
from cfack_runtime.backends import Feed
from cfack_runtime.errors import UsageError
from cfack_runtime.graph_contract import IMAGE_ENCODER, RERANKER, TEXT_ENCODER
from cfack_runtime.ranking import top_k


class GraphTasks:
    """Prepares what a case calls, once, and runs visits; one case at a time holds its inputs.

    Args:
        engine: the candidate.
        workload: the inputs.
        folder: where they lie.
    """

    def __init__(self, engine: Engine, workload: Workload, folder: Path) -> None:
        self._engine, self._workload, self._folder = engine, workload, folder
        self._key = ""
        self._call: Callable[[], object] = lambda: None
        self._device_call: DeviceCall | None = None

    def visit(self, case: Case, limits: Limits) -> Visit:
        """Time the call from host arrays to host arrays, as a user of the candidate makes it."""
        if self._key != case.key:
            self.close()
            self._call, self._key = self._prepare(case), case.key
        visit = Visit()
        repeat(limits, visit, lambda into: into.append(timed(self._call)))
        return visit

    def visit_device(self, case: Case, limits: Limits) -> Visit:
        """Time a call whose memory is bound already, and its parts by the device's events."""
        if self._key != case.key or self._device_call is None:
            self.close()
            graph, feed = self._feed(case)
            captured = bool(case.parameters["cuda_graph"])
            self._device_call = self._engine.device_call(graph, feed, cuda_graph=captured)
            self._key = case.key
        call, visit = self._device_call, Visit(stages={part: [] for part in PARTS})

        def once(into: list[float]) -> None:
            wall, parts = timed_call(call)
            into.append(wall)
            if into is visit.samples:
                for part, value in parts.items():
                    visit.stages[part].append(value)

        repeat(limits, visit, once)
        return visit

    def close(self) -> None:
        """Let go of the last case's inputs."""
        self._key, self._call = "", lambda: None
        if self._device_call is not None:
            self._device_call.close()
            self._device_call = None

    def _prepare(self, case: Case) -> Callable[[], object]:
        engine, seed, size = self._engine, self._workload.seed, case.sizes
        if case.measure == IMAGES:
            pixels = read_pixels(self._folder, size["batch"])
            return lambda: engine.encode_images(pixels)
        if case.measure == TEXTS:
            ids = random_ids(engine.tokenizer, size["batch"], size["tokens"], seed)
            return lambda: engine.encode_texts(ids)
        if case.measure == RERANKING:
            texts = engine.encode_texts(random_ids(engine.tokenizer, 1, size["tokens"], seed))
            image = engine.encode_images(read_pixels(self._folder, 1)).tokens
            images = np.repeat(image.astype(np.float16), size["candidates"], axis=0)
            return lambda: engine.match(texts.tokens, texts.mask, images)
        if case.measure == SEARCH:
            width = engine.encode_texts(random_ids(engine.tokenizer, 1, 4, seed)).embedding.shape[1]
            gallery = random_embeddings(size["gallery"], width, seed)
            queries = random_embeddings(size["queries"], width, seed + 1)
            return lambda: top_k(queries, gallery, size["k"])
        raise UsageError(f"no measurement {case.measure!r}")

    def _feed(self, case: Case) -> tuple[str, Feed]:
        """Name and inputs of the graph that a case on a device calls."""
        engine, seed, size = self._engine, self._workload.seed, case.sizes
        if case.measure == GPU_IMAGES:
            return IMAGE_ENCODER, {"pixels": read_pixels(self._folder, size["batch"])}
        if case.measure == GPU_TEXTS:
            captions = random_ids(engine.tokenizer, size["batch"], size["tokens"], seed)
            return TEXT_ENCODER, {
                "input_ids": captions.input_ids,
                "attention_mask": captions.attention_mask,
            }
        if case.measure == GPU_RERANKING:
            texts = engine.encode_texts(random_ids(engine.tokenizer, 1, size["tokens"], seed))
            image = engine.encode_images(read_pixels(self._folder, 1)).tokens
            return RERANKER, {
                "text_tokens": texts.tokens,
                "attention_mask": texts.mask,
                "image_tokens": np.repeat(image, size["candidates"], axis=0),
            }
        raise UsageError(f"no measurement {case.measure!r}")
