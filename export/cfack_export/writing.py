"""The last stage: everything that was made and measured, as a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cfack import __version__
from cfack_export.engines import BuiltEngine
from cfack_export.graph_folder import TOKEN_TYPES, GraphFolder
from cfack_export.readme import bundle_readme
from cfack_export.verdict import Verdict
from cfack_runtime.bundle import write_bundle
from cfack_runtime.graph_contract import all_signatures
from cfack_runtime.manifest import Geometry, Preprocessing, embedding_space


@dataclass(frozen=True)
class BundleSource:
    """What is exported."""

    weights: str
    """SHA-256."""
    tokenizer_json: str
    geometry: Geometry

    @property
    def embedding_space(self) -> str:
        """Identity of what makes embeddings comparable."""
        tokenizer = hashlib.sha256(self.tokenizer_json.encode()).hexdigest()
        return embedding_space(self.weights, tokenizer, self.geometry, Preprocessing())


def write_export(
    out: Path,
    source: BundleSource,
    graphs: Mapping[str, GraphFolder],
    verdict: Verdict,
    engines: Sequence[BuiltEngine],
) -> None:
    """Write a bundle.

    Args:
        out: its folder, which is not there yet, called as it will be.
        source: what was exported.
        graphs: precision -> its graphs.
        verdict: what the gate said of each.
        engines: of any of them.

    Raises:
        BundleError: something breaks the contract of the graphs; nothing was written.
    """
    sizes, documents = source.geometry, (verdict.document, verdict.summaries)
    write_bundle(
        out,
        graphs={name: folder.path for name, folder in graphs.items()},
        geometry=sizes,
        tokenizer_json=source.tokenizer_json,
        checkpoint_sha256=source.weights,
        parity=verdict.summaries,
        parity_document=verdict.document,
        readme=bundle_readme(out.name, sizes, source.embedding_space, source.weights, *documents),
        created_by=f"cfack {__version__}",
        signatures={name: all_signatures(sizes, TOKEN_TYPES[name]) for name in graphs},
        engines=[(engine.entry, engine.file) for engine in engines],
    )
