"""Text-to-image person retrieval without PyTorch: open a bundle, index a folder, search it.

    from cfack_runtime import Retriever

    with Retriever.open("person.cfack") as retriever:
        gallery = retriever.index("photos/", out="gallery/")
        for hit in retriever.search(gallery, "a man in a red coat", k=10):
            print(hit.rank, hit.path, hit.score)

Names are imported when they are used, so that `import cfack_runtime` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfack_runtime.bundle import Bundle
    from cfack_runtime.errors import (
        BackendError,
        BundleError,
        CfackError,
        DataError,
        EmbeddingSpaceError,
        GalleryError,
        ImageError,
        UsageError,
    )
    from cfack_runtime.gallery import Gallery
    from cfack_runtime.hits import Hit
    from cfack_runtime.retriever import Retriever

__all__ = [
    "BackendError",
    "Bundle",
    "BundleError",
    "CfackError",
    "DataError",
    "EmbeddingSpaceError",
    "Gallery",
    "GalleryError",
    "Hit",
    "ImageError",
    "Retriever",
    "UsageError",
]

_MODULES = {"Bundle": "bundle", "Gallery": "gallery", "Hit": "hits", "Retriever": "retriever"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
