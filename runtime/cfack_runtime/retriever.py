"""Open, index, search, close: the whole of retrieval behind one object.

Shapes: Q queries, N patches, C token width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, overload

from cfack_runtime.backends import Backend
from cfack_runtime.bundle import Bundle
from cfack_runtime.encoders import IMAGE_BATCH, ImageEncoder, TextEncoder, images_per_call
from cfack_runtime.errors import UsageError
from cfack_runtime.filters import Where
from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_append import GalleryAppender
from cfack_runtime.gallery_folder import require_same_space
from cfack_runtime.gallery_metadata import Metadata
from cfack_runtime.graph_contract import IMAGE_ENCODER, ONE_IMAGE, ONE_TEXT, RERANKER, TEXT_ENCODER
from cfack_runtime.hits import Hit
from cfack_runtime.indexing import index_images
from cfack_runtime.progress import ProgressCallback, no_progress
from cfack_runtime.rerank import Reranker
from cfack_runtime.rerank_plan import PairCost
from cfack_runtime.rerank_tokens import DEFAULT_CACHE_BYTES, TokenCache
from cfack_runtime.scoring import LOGIT, Scoring
from cfack_runtime.search import Parts, Request, Search
from cfack_runtime.sessions import load_graphs, warm_up_graphs


class Retriever:
    """A bundle that is loaded and ready. Made by `Retriever.open`; close it, or use it in a `with` block.

    Any number of threads may search with one object, also while another indexes.

    Attributes:
        bundle: what was opened.
        precision: the precision that runs.
        image_encoder: encodes pixels.
        text_encoder: encodes sentences.
        reranker: scores pairs.
        pair_cost: what pairs cost, by which they are grouped.
        token_cache: image tokens that were read last.
        graphs: name -> what runs the graph.
    """

    def __init__(
        self,
        bundle: Bundle,
        precision: str,
        backends: Mapping[str, Backend],
        token_cache_bytes: int = DEFAULT_CACHE_BYTES,
        device: str = "cpu",
    ) -> None:
        self.bundle = bundle
        self.precision = precision
        geometry = bundle.manifest.geometry
        per_call = images_per_call(geometry) if device == "cpu" else None
        self.image_encoder = ImageEncoder(backends[IMAGE_ENCODER], geometry, per_call)
        self.text_encoder = TextEncoder(backends[TEXT_ENCODER], bundle.tokenizer)
        self.reranker = Reranker(backends[RERANKER], backends.get(ONE_TEXT), backends.get(ONE_IMAGE))
        self.pair_cost = PairCost.of(geometry, folded=ONE_TEXT in backends, device=device)
        self.token_cache = TokenCache(token_cache_bytes)
        self.graphs = backends

    @classmethod
    def open(
        cls,
        bundle: str | Path,
        *,
        precision: str = "auto",
        device: str = "cpu",
        threads: int | None = None,
        backend: str = "auto",
        arena: bool = True,
        memory_limit: int | None = None,
        token_cache_bytes: int = DEFAULT_CACHE_BYTES,
        warm_up: bool = True,
    ) -> Retriever:
        """Check a bundle and load its graphs.

        Args:
            bundle: the bundle's folder.
            precision: "auto": the best for the device that gave PyTorch's results; or one by name.
            device: "cpu", "cuda" or "cuda:N"; nothing falls back to another.
            threads: CPU threads per operator; None: one a physical core.
            backend: "onnxruntime", "tensorrt" or "tensorrt-rtx"; "auto" is ONNX Runtime.
            arena: keep the memory of the largest batch; off, it is given back after every call, a little
                slower.
            memory_limit: bytes that each ONNX Runtime session may take on a GPU.
            token_cache_bytes: image tokens kept in main memory between searches; 0: none.
            warm_up: run each loaded graph once, so that the first search is as fast as the second.

        Raises:
            BundleError: the bundle is wrong, or the precision is not there or was refused by its export.
            BackendError: what is needed to run it is not here.
            UsageError: no such device or backend, or a number is out of range.
        """
        opened = Bundle.open(bundle, check_graphs=False)
        TokenCache(token_cache_bytes)  # a bad number is refused before anything is loaded
        chosen, backends = load_graphs(
            opened,
            precision,
            backend,
            device=device,
            threads=threads,
            arena=arena,
            memory_limit=memory_limit,
        )
        retriever = cls(opened, chosen, backends, token_cache_bytes, device)
        if warm_up:
            try:
                warm_up_graphs(backends, opened.manifest.geometry)
            except BaseException:
                retriever.close()
                raise
        return retriever

    def __enter__(self) -> Retriever:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the graphs and the token cache; the object is of no use afterwards."""
        for backend in self.graphs.values():
            backend.close()
        self.token_cache.clear()

    def index(
        self,
        folder: str | Path,
        out: str | Path,
        *,
        tokens: bool | str | None = None,
        embeddings: str | None = None,
        metadata: Mapping[str, Metadata] | None = None,
        batch_size: int = IMAGE_BATCH,
        decoders: int | None = None,
        allow_unmeasured: bool = False,
        progress: ProgressCallback = no_progress,
    ) -> Gallery:
        """Encode the images of a folder into a gallery, or bring one up to date; see `index_images`."""
        return index_images(
            folder,
            out,
            self.bundle,
            self.image_encoder,
            self.precision,
            tokens=tokens,
            embeddings=embeddings,
            metadata=metadata,
            batch_size=batch_size,
            decoders=decoders,
            allow_unmeasured=allow_unmeasured,
            progress=progress,
        )

    def appender(
        self,
        out: str | Path,
        *,
        root: str | Path | None = None,
        tokens: bool | str | None = None,
        embeddings: str | None = None,
    ) -> GalleryAppender:
        """Open a gallery for images that come one by one; see `GalleryAppender`."""
        return GalleryAppender(
            out,
            self.bundle,
            self.image_encoder,
            self.precision,
            root=root,
            tokens=tokens,
            embeddings=embeddings,
        )

    @overload
    def search(
        self,
        gallery: Gallery,
        query: str,
        *,
        k: int = ...,
        rerank: int | None = ...,
        min_score: float | None = ...,
        where: Where | None = ...,
        score: str = ...,
        stream: Literal[False] = ...,
    ) -> list[Hit]: ...

    @overload
    def search(
        self,
        gallery: Gallery,
        query: str,
        *,
        k: int = ...,
        rerank: int | None = ...,
        min_score: float | None = ...,
        where: Where | None = ...,
        score: str = ...,
        stream: Literal[True],
    ) -> Iterator[list[Hit]]: ...

    def search(
        self,
        gallery: Gallery,
        query: str,
        *,
        k: int = 10,
        rerank: int | None = None,
        min_score: float | None = None,
        where: Where | None = None,
        score: str = LOGIT,
        stream: bool = False,
    ) -> list[Hit] | Iterator[list[Hit]]:
        """Find images by a sentence; see `search_many`.

        Args:
            gallery: what to search.
            query: a sentence.
            k: as there.
            rerank: as there.
            min_score: as there.
            where: as there.
            score: as there.
            stream: give an iterator: the dual encoder's list first, at once, and then the re-ranked one. If
                there is re-ranking to come, `min_score` is for the second list only.
        """
        if not isinstance(query, str):
            raise UsageError(f"the query is a {type(query).__name__}, expected a string")
        search = self._search(gallery, [query], k, rerank, min_score, where, score)
        if stream:
            return (lists[0] for lists in search.stages())
        return search.run(no_progress)[0]

    def search_many(
        self,
        gallery: Gallery,
        queries: Sequence[str],
        *,
        k: int = 10,
        rerank: int | Sequence[int] | None = None,
        min_score: float | None = None,
        where: Where | None = None,
        score: str = LOGIT,
        progress: ProgressCallback = no_progress,
    ) -> list[list[Hit]]:
        """Find images by sentences.

        The dual encoder ranks the whole gallery, exactly. The first `rerank` candidates are put in the order
        of the re-ranker's score; ties, and the images behind them, keep the dual encoder's order.

        Args:
            gallery: what to search.
            queries: Q sentences. Word pieces beyond what the model reads are ignored, with a warning.
            k: hits per query; a smaller gallery gives all of it.
            rerank: candidates to re-rank, 0 for none, or such a number for each query; None: 128, or none if
                the gallery has no tokens.
            min_score: leave out hits below it. It is compared with `match_score` when re-ranking, which
                leaves out everything not re-ranked; with the cosine if not.
            where: metadata that an image must have, before anything is ranked; see `cfack_runtime.filters`.
            score: "logit": the order of logit 1, the official score, with softmax(logits)[1] as the match
                score; "log-odds": order and match score are logit 1 - logit 0; "probability": the same order,
                and the bundle's calibrated probability.
            progress: counts queries.

        Returns:
            One list per query, best first; empty if nothing reaches `min_score` or the gallery is empty.

        Raises:
            EmbeddingSpaceError: the gallery was made by another model.
            GalleryError: re-ranking was asked for, and the gallery holds no tokens.
            DataError: a query is empty; the message names its index.
            UsageError: an argument is out of range, `queries` are no strings, the filter is wrong, or the
                bundle holds no score calibration.
        """
        return self._search(gallery, queries, k, rerank, min_score, where, score).run(progress)

    def _search(
        self,
        gallery: Gallery,
        queries: Sequence[str],
        k: int,
        rerank: int | Sequence[int] | None,
        min_score: float | None,
        where: Where | None,
        score: str,
    ) -> Search:
        require_same_space(gallery.path, gallery.identity, self.bundle.embedding_space, self.bundle.path)
        scoring = Scoring(score, self.bundle.manifest.score_calibration)
        parts = Parts(self.text_encoder, self.reranker, self.pair_cost, self.token_cache)
        return Search(gallery, queries, parts, Request(k, rerank, min_score, where, scoring))
