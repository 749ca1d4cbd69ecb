"""What a suite may ask for; `docs/bench.md` has every member."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from cfack_runtime.errors import ConfigError

T = TypeVar("T")


def _from(least: float, default: T) -> T:
    """A member whose numbers are at least `least` in a file."""
    found: T = field(default=default, metadata={"least": least})
    return found


@dataclass(frozen=True)
class ImageEncoding:
    """Images to embeddings and tokens."""

    batch: tuple[int, ...] = _from(1, (1,))


@dataclass(frozen=True)
class TextEncoding:
    """Token ids to embeddings and tokens, at fixed lengths."""

    batch: tuple[int, ...] = _from(1, (1,))
    tokens: tuple[int, ...] = _from(2, (16,))
    """[CLS] and [SEP] included; what is above the model's longest text becomes that."""


@dataclass(frozen=True)
class Reranking:
    """One text against many images, tokens in memory."""

    candidates: tuple[int, ...] = _from(1, (128,))
    tokens: tuple[int, ...] = _from(2, (16,))


@dataclass(frozen=True)
class Search:
    """Embeddings of texts against those of a gallery."""

    gallery: tuple[int, ...] = _from(1, (10_000,))
    queries: tuple[int, ...] = _from(1, (1,))
    k: int = _from(1, 128)


@dataclass(frozen=True)
class Query:
    """From the sentence to the ranked images."""

    candidates: tuple[int, ...] = (0, 128)
    """To re-rank; 0 for none."""
    clients: tuple[int, ...] = _from(1, (1,))
    """Threads, each of which asks again as soon as it has its answer."""
    gallery: int = _from(1, 512)
    """Images of the gallery that is made for this; at least the largest number of candidates."""
    k: int = _from(1, 10)


@dataclass(frozen=True)
class OpenLoop:
    """Queries that arrive by themselves (Poisson), whether or not the last one is answered."""

    candidates: tuple[int, ...] = (128,)
    loads: tuple[float, ...] = _from(0.01, (0.5,))
    """Arrivals as a share of what the first candidate answers in a closed loop."""
    rates: tuple[float, ...] = _from(0.001, ())
    """Arrivals a second; take the place of `loads`."""
    arrivals: int = _from(1, 40)
    """At most in one round."""


@dataclass(frozen=True)
class ColdStart:
    """A fresh process: import, open, first answer."""

    rounds: int = _from(1, 3)


@dataclass(frozen=True)
class Accuracy:
    """R@1 against candidates; needs a data set."""

    candidates: tuple[int, ...] = (0, 16, 32, 64, 128)
    captions: int = _from(1, 200)
    images: int = _from(1, 1000)


@dataclass(frozen=True)
class Suite:
    """What is measured and how often. A table that is not there is not measured."""

    description: str = ""
    rounds: int = _from(1, 5)
    """Times that every case of every candidate is visited; candidates take turns."""
    visit_seconds: float = _from(0.001, 0.5)
    """Longest timed part of a visit, but for its first call."""
    visit_samples: int = _from(1, 20)
    """Most samples of a visit."""
    warmup: int = 3
    """Calls before the first visit's clock starts; later visits begin with one."""
    image_encoding: ImageEncoding | None = None
    text_encoding: TextEncoding | None = None
    reranking: Reranking | None = None
    search: Search | None = None
    query: Query | None = None
    open_loop: OpenLoop | None = None
    cold_start: ColdStart | None = None
    accuracy: Accuracy | None = None

    def __post_init__(self) -> None:
        if self.open_loop and not self.query:
            raise ConfigError("open_loop needs query, which says what a query is")
