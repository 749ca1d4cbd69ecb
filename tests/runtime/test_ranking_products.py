import numpy as np
import pytest

from cfack_runtime import ranking_products
from cfack_runtime.ranking import similarity, top_k
from cfack_runtime.ranking_products import products, readers


def unit_rows(count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, 32), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def three_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads for whatever is searched, and a thread for every few rows."""
    monkeypatch.setattr(ranking_products, "_MANY", 0)
    monkeypatch.setattr(ranking_products, "_LEAST", 5)
    monkeypatch.setattr(ranking_products, "_cores", lambda: 3)


@pytest.mark.usefixtures("three_readers")
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("rows", [1, 4, 10, 16, 101])
def test_every_row_is_multiplied_once_whoever_reads_it(rows: int, dtype: type) -> None:
    query, embeddings = unit_rows(1, 0), unit_rows(rows, 1).astype(dtype)
    out = np.full((1, rows), np.nan, np.float32)
    with readers(1, embeddings.nbytes) as threads:
        assert threads is not None
        products(query, embeddings, out, threads)
    np.testing.assert_allclose(out, similarity(query, embeddings), atol=32 * np.finfo(np.float32).eps / 2)


@pytest.mark.usefixtures("three_readers")
def test_a_search_in_threads_finds_what_one_thread_finds() -> None:
    gallery = np.repeat(unit_rows(500, 2), 2, axis=0)  # everything ties
    query = unit_rows(1, 3)
    found = top_k(query, gallery, 50, rows=np.arange(0, 1000, 3))
    expected = np.arange(0, 1000, 3)
    expected = expected[np.argsort(-similarity(query, gallery[expected])[0], kind="stable")][:50]
    np.testing.assert_array_equal(found.indices[0], expected)


def test_threads_are_for_one_query_and_much_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking_products, "_cores", lambda: 2)
    for queries, byte_count in ((1, 1 << 20), (2, 1 << 30)):
        with readers(queries, byte_count) as threads:
            assert threads is None


def test_an_older_numpy_multiplies_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking_products, "_VECDOT", None)
    query, embeddings, out = unit_rows(1, 0), unit_rows(7, 1), np.empty((1, 7), np.float32)
    with readers(1, 1 << 30) as threads:
        products(query, embeddings, out, threads)
    np.testing.assert_allclose(out, similarity(query, embeddings), atol=2e-6)
