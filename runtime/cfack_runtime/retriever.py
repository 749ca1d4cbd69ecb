"""Open, index, search, close: the whole of retrieval behind one object.

Shapes: Q queries, N patches, C token width.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from cfack_runtime.backends import Backend, open_backend
from cfack_runtime.bundle import Bundle
from cfack_runtime.encoders import IMAGE_BATCH, ImageEncoder, Reranker, TextEncoder
from cfack_runtime.errors import UsageError
from cfack_runtime.gallery import Gallery
from cfack_runtime.gallery_folder import require_same_space
from cfack_runtime.gallery_index import Identity, TokenShape
from cfack_runtime.gallery_writer import GalleryWriter
from cfack_runtime.graph_contract import GRAPHS, check_tensors
from cfack_runtime.hits import Hit
from cfack_runtime.indexing import index_folder
from cfack_runtime.precision import choose_precision
from cfack_runtime.progress import ProgressCallback, no_progress
from cfack_runtime.search import search_gallery


class Retriever:
    """A bundle that is loaded and ready. Made by `Retriever.open`; close it, or use it in a `with` block.

    Attributes:
        bundle: what was opened.
        precision: the precision that runs.
        image_encoder: encodes pixels.
        text_encoder: encodes sentences.
        reranker: scores pairs.
    """

    def __init__(self, bundle: Bundle, precision: str, backends: dict[str, Backend]) -> None:
        self.bundle = bundle
        self.precision = precision
        self.image_encoder = ImageEncoder(backends["image_encoder"], bundle.manifest.geometry)
        self.text_encoder = TextEncoder(backends["text_encoder"], bundle.tokenizer)
        self.reranker = Reranker(backends["reranker"])
        self._backends = backends

    @classmethod
    def open(
        cls,
        bundle: str | Path,
        *,
        precision: str = "auto",
        device: str = "cpu",
        threads: int | None = None,
    ) -> Retriever:
        """Check a bundle and load its graphs.

        Args:
            bundle: the bundle's folder.
            precision: "auto": the best for the device that gave PyTorch's results; or one by name.
            device: "cpu", "cuda" or "cuda:N"; nothing falls back to another.
            threads: CPU threads per operator; None: one a physical core.

        Raises:
            BundleError: the bundle is wrong, or the precision is not there or was refused by its export.
            BackendError: what is needed to run it is not here.
            UsageError: no such device name, or `threads` is not positive.
        """
        opened = Bundle.open(bundle, check_graphs=False)
        chosen = choose_precision(opened, precision, device)
        opened.check_graphs(chosen)
        with ExitStack() as undo:
            backends: dict[str, Backend] = {}
            for name in GRAPHS:
                entry, path = opened.graph(chosen, name), opened.graph_path(chosen, name)
                backends[name] = open_backend(path, device=device, threads=threads)
                undo.callback(backends[name].close)
                check_tensors(backends[name].inputs, entry.inputs, f"{path}: inputs")
                check_tensors(backends[name].outputs, entry.outputs, f"{path}: outputs")
            undo.pop_all()
        return cls(opened, chosen, backends)

    def __enter__(self) -> Retriever:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the graphs; the object is of no use afterwards."""
        for backend in self._backends.values():
            backend.close()

    def index(
        self,
        folder: str | Path,
        out: str | Path,
        *,
        tokens: bool = True,
        batch_size: int = IMAGE_BATCH,
        progress: ProgressCallback = no_progress,
    ) -> Gallery:
        """Encode the images of a folder into a gallery, or bring a gallery up to date with its folder.

        Only new and changed files are encoded; images whose files are gone are taken out. A file that
        cannot be read is skipped and listed in `gallery.report`. What is done is committed about once a
        minute, so that a killed run goes on from there.

        Args:
            folder: images, also in folders below.
            out: the gallery's folder.
            tokens: keep image tokens, which re-ranking needs: (1+N) x C x 2 bytes an image.
            batch_size: images decoded and encoded at a time.
            progress: counts images encoded.

        Raises:
            DataError: there is no image, or none that can be read.
            EmbeddingSpaceError: the gallery belongs to another model.
            GalleryError: the gallery is damaged, of another folder, or cannot be written.
        """
        folder = Path(folder).resolve()
        geometry = self.bundle.manifest.geometry
        identity = Identity(
            embedding_space=self.bundle.embedding_space,
            embed_dim=geometry.embed_dim,
            image_tokens=TokenShape(geometry.image_token_count, geometry.image_token_width)
            if tokens
            else None,
            bundle=str(self.bundle.path),
            root=str(folder),
        )
        with GalleryWriter(out, identity, self.precision) as writer:
            report = index_folder(
                folder,
                writer,
                self.image_encoder,
                keep_tokens=tokens,
                batch_size=batch_size,
                progress=progress,
            )
        gallery = Gallery.open(out)
        gallery.report = report
        return gallery

    def search(
        self,
        gallery: Gallery,
        query: str,
        *,
        k: int = 10,
        rerank: int | None = None,
        min_score: float | None = None,
    ) -> list[Hit]:
        """Find images by a sentence; see `search_many`."""
        if not isinstance(query, str):
            raise UsageError(f"the query is a {type(query).__name__}, expected a string")
        return self.search_many(gallery, [query], k=k, rerank=rerank, min_score=min_score)[0]

    def search_many(
        self,
        gallery: Gallery,
        queries: Sequence[str],
        *,
        k: int = 10,
        rerank: int | None = None,
        min_score: float | None = None,
        progress: ProgressCallback = no_progress,
    ) -> list[list[Hit]]:
        """Find images by sentences.

        The dual encoder ranks the whole gallery, exactly. The first `rerank` candidates are put in the order
        of the re-ranker's logit 1, the official score; ties, and the images behind them, keep the dual
        encoder's order.

        Args:
            gallery: what to search.
            queries: Q sentences. Word pieces beyond what the model reads are ignored, with a warning.
            k: hits per query; a smaller gallery gives all of it.
            rerank: candidates to re-rank, 0 for none; None: 128, or none if the gallery has no tokens.
            min_score: leave out hits below it. It is compared with the match score, softmax(logits)[1] from
                0 to 1, when re-ranking, which leaves out everything not re-ranked; with the cosine if not.
            progress: counts queries.

        Returns:
            One list per query, best first; empty if nothing reaches `min_score` or the gallery is empty.

        Raises:
            EmbeddingSpaceError: the gallery was made by another model.
            GalleryError: re-ranking was asked for, and the gallery holds no tokens.
            DataError: a query is empty; the message names its index.
            UsageError: k or rerank is out of range, or `queries` are no strings.
        """
        require_same_space(gallery.path, gallery.identity, self.bundle.embedding_space, self.bundle.path)
        return search_gallery(
            gallery,
            queries,
            self.text_encoder,
            self.reranker,
            k=k,
            rerank=rerank,
            min_score=min_score,
            progress=progress,
        )
