"""What a suite may ask for; `docs/bench.md` has every member."""

from __future__ import annotations

from dataclasses import dataclass

from cfack_runtime.errors import ConfigError


@dataclass(frozen=True)
class ImageEncoding:
    """Images to embeddings and tokens."""

    batch: tuple[int, ...] = (1,)


@dataclass(frozen=True)
class TextEncoding:
    """Token ids to embeddings and tokens, at fixed lengths."""

    batch: tuple[int, ...] = (1,)
    tokens: tuple[int, ...] = (16,)
    """[CLS] and [SEP] included; what is above the model's longest text becomes that."""


@dataclass(frozen=True)
class Reranking:
    """One text against many images, tokens in memory."""

    candidates: tuple[int, ...] = (128,)
    tokens: tuple[int, ...] = (16,)


@dataclass(frozen=True)
class Search:
    """Embeddings of texts against those of a gallery."""

    gallery: tuple[int, ...] = (10_000,)
    queries: tuple[int, ...] = (1,)
    k: int = 128


@dataclass(frozen=True)
class Query:
    """From the sentence to the ranked images."""

    candidates: tuple[int, ...] = (0, 128)
    """To re-rank; 0 for none."""
    clients: tuple[int, ...] = (1,)
    """Threads, each of which asks again as soon as it has its answer."""
    gallery: int = 512
    """Images of the gallery that is made for this; at least the largest number of candidates."""
    k: int = 10


@dataclass(frozen=True)
class OpenLoop:
    """Queries that arrive by themselves (Poisson), whether or not the last one is answered."""

    candidates: tuple[int, ...] = (128,)
    loads: tuple[float, ...] = (0.5,)
    """Arrivals as a share of what the first candidate answers in a closed loop."""
    rates: tuple[float, ...] = ()
    """Arrivals a second; take the place of `loads`."""
    arrivals: int = 40
    """At most in one round."""


@dataclass(frozen=True)
class ColdStart:
    """A fresh process: import, open, first answer."""

    rounds: int = 3


@dataclass(frozen=True)
class Accuracy:
    """R@1 against candidates; needs a data set."""

    candidates: tuple[int, ...] = (0, 16, 32, 64, 128)
    captions: int = 200
    images: int = 1000


@dataclass(frozen=True)
class Suite:
    """What is measured and how often. A table that is not there is not measured."""

    description: str = ""
    rounds: int = 5
    """Times that every case of every candidate is visited; candidates take turns."""
    visit_seconds: float = 0.5
    """Longest timed part of a visit, but for its first call."""
    visit_samples: int = 20
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
        if self.rounds < 1 or self.visit_samples < 1 or self.warmup < 0 or self.visit_seconds <= 0:
            raise ConfigError(
                "rounds and visit_samples must be at least 1, warmup at least 0, visit_seconds above 0"
            )
        if self.open_loop and not self.query:
            raise ConfigError("open_loop needs query, which says what a query is")
