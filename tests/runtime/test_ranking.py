import numpy as np
import pytest

from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.gallery_embeddings import EmbeddingPart, EmbeddingParts
from cfack_runtime.ranking import official_scores, rank_all, rerank_order, similarity, top_k


def unit_rows(count, width, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_top_k_of_a_hand_made_gallery():
    gallery = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float32)
    found = top_k(np.array([[1, 0], [0, 1]], dtype=np.float32), gallery, 3)
    assert found.indices.tolist() == [[0, 2, 1], [1, 2, 0]]
    assert found.scores.dtype == np.float32
    assert np.allclose(found.scores, [[1, 0.6, 0], [1, 0.8, 0]])


def test_ties_go_by_gallery_order_inside_and_at_the_end_of_the_list():
    gallery = np.array([[0, 1], [1, 0], [0, 1], [1, 0], [1, 0]], dtype=np.float32)
    query = np.array([[1, 0]], dtype=np.float32)
    assert top_k(query, gallery, 2).indices.tolist() == [[1, 3]]
    assert top_k(query, gallery, 4).indices.tolist() == [[1, 3, 4, 0]]


def test_k_is_clipped_to_the_gallery_and_an_empty_gallery_gives_nothing():
    queries = unit_rows(2, 4)
    assert top_k(queries, unit_rows(3, 4), 128).indices.shape == (2, 3)
    assert top_k(queries, np.empty((0, 4), np.float32), 5).indices.shape == (2, 0)
    assert top_k(queries[:0], unit_rows(3, 4), 2).indices.shape == (0, 2)


@pytest.mark.parametrize("images", [5, 100, 1003])
def test_top_k_agrees_with_sorting_everything(images):
    queries, gallery = unit_rows(9, 32, 1), unit_rows(images, 32, 2)
    scores = similarity(queries, gallery)
    found = top_k(queries, gallery, 10)
    expected = rank_all(scores)[:, :10]
    assert np.array_equal(found.indices, expected)
    assert np.array_equal(found.scores, np.take_along_axis(scores, expected, axis=1))


def test_a_gallery_and_queries_of_several_blocks_give_the_same(monkeypatch):
    queries, gallery = unit_rows(20, 16, 1), unit_rows(200, 16, 2)
    gallery[[3, 77, 150]] = gallery[40]
    whole = top_k(queries, gallery, 15)
    monkeypatch.setattr("cfack_runtime.ranking._BLOCK", 7)
    monkeypatch.setattr("cfack_runtime.ranking._QUERY_BLOCK", 3)
    blocked = top_k(queries, gallery, 15)
    assert np.array_equal(blocked.indices, whole.indices)
    assert np.array_equal(blocked.scores, whole.scores)


def test_a_query_finds_the_same_alone_and_among_others():
    queries, gallery = unit_rows(64, 256, 1), unit_rows(1003, 256, 2)
    together = top_k(queries, gallery, 10)
    for row in range(64):
        alone = top_k(queries[row : row + 1], gallery, 10)
        assert np.array_equal(alone.indices[0], together.indices[row])
        assert np.array_equal(alone.scores[0], together.scores[row])


def test_equal_images_tie_wherever_they_stand_in_the_gallery():
    gallery = unit_rows(1003, 100)
    gallery[[501, 1002]] = gallery[0]
    queries = unit_rows(64, 100, 5)
    queries[7] = gallery[0]
    assert top_k(queries, gallery, 3).indices[7].tolist() == [0, 501, 1002]
    scores = similarity(queries, gallery)
    assert np.array_equal(scores[:, 0], scores[:, 501])
    assert np.array_equal(scores[:, 0], scores[:, 1002])


def test_a_half_precision_gallery_is_read_in_full_precision():
    gallery = unit_rows(50, 16).astype(np.float16)
    queries = unit_rows(4, 16, 1)
    found = top_k(queries, gallery, 5)
    expected = top_k(queries, gallery.astype(np.float32), 5)
    assert np.array_equal(found.indices, expected.indices)
    assert np.array_equal(found.scores, expected.scores)


def test_a_broken_embedding_is_named_by_its_place(monkeypatch):
    monkeypatch.setattr("cfack_runtime.ranking._BLOCK", 4)
    queries, gallery = unit_rows(3, 8), unit_rows(9, 8)
    gallery[6, 2] = np.nan
    with pytest.raises(DataError, match="gallery image 6 is not finite"):
        top_k(queries, gallery, 2)
    queries[1, 0] = np.inf
    with pytest.raises(DataError, match="query 1 is not finite"):
        top_k(queries, unit_rows(9, 8), 2)


def test_unusable_calls_are_refused():
    with pytest.raises(UsageError, match="k must be at least 1, got 0"):
        top_k(unit_rows(1, 4), unit_rows(2, 4), 0)
    with pytest.raises(UsageError, match=r"queries \(1, 4\) and gallery \(2, 5\)"):
        top_k(unit_rows(1, 4), unit_rows(2, 5), 1)
    with pytest.raises(UsageError, match=r"queries \(4,\)"):
        similarity(unit_rows(1, 4)[0], unit_rows(2, 4))


def test_rank_all_is_stable_and_best_first():
    ranked = rank_all(np.array([[0.5, 2, 0.5, -1, 2], [0, 0, 0, 0, 0]]))
    assert ranked.dtype == np.int64
    assert ranked.tolist() == [[1, 4, 0, 2, 3], [0, 1, 2, 3, 4]]


def test_rank_all_refuses_nan_and_says_where():
    with pytest.raises(DataError, match="query 1 and gallery image 2 is NaN"):
        rank_all(np.array([[0, 0, 0], [0, 0, np.nan]]))


def test_reranking_orders_the_head_and_keeps_the_tail():
    rankings = np.array([[4, 2, 0, 1, 3], [0, 1, 2, 3, 4]])
    reranked = rerank_order(rankings, np.array([[0.1, 0.9, 0.5], [-3.0, -200.0, 7.0]]))
    assert reranked.tolist() == [[2, 0, 4, 1, 3], [2, 0, 1, 3, 4]]
    assert rankings.tolist() == [[4, 2, 0, 1, 3], [0, 1, 2, 3, 4]]


def test_equal_match_scores_keep_the_dual_encoder_order():
    rankings = np.array([[4, 2, 0, 1, 3]])
    assert rerank_order(rankings, np.array([[1.0, 2.0, 1.0, 2.0]])).tolist() == [[2, 1, 4, 0, 3]]


def test_reranking_none_changes_nothing():
    rankings = np.array([[4, 2, 0, 1, 3]])
    assert rerank_order(rankings, np.empty((1, 0))).tolist() == rankings.tolist()


def test_match_scores_must_fit_the_rankings():
    with pytest.raises(UsageError, match=r"match scores \(1, 3\) do not fit rankings \(1, 2\)"):
        rerank_order(np.array([[0, 1]]), np.zeros((1, 3)))
    with pytest.raises(UsageError, match=r"match scores \(2, 1\)"):
        official_scores(np.array([[0, 1]]), np.zeros((2, 1)))


def test_the_official_fill_puts_minus_100_on_the_tail():
    rankings = np.array([[4, 2, 0, 1, 3]])
    scores = official_scores(rankings, np.array([[0.5, 3.0]]))
    assert scores.tolist() == [[-100, -100, 3.0, -100, 0.5]]
    assert rank_all(scores).tolist() == [[2, 4, 0, 1, 3]]


def test_the_tail_is_in_dual_encoder_order_only_without_the_official_fill():
    rankings = np.array([[4, 2, 3, 1, 0]])
    match_scores = np.array([[0.5, 3.0]])
    assert rerank_order(rankings, match_scores).tolist() == [[2, 4, 3, 1, 0]]
    assert rank_all(official_scores(rankings, match_scores)).tolist() == [[2, 4, 0, 1, 3]]


def cut(gallery, *sizes):
    """The same embeddings in parts, with a foreign row before each."""
    parts, start = [], 0
    for size in sizes:
        rows = gallery[start : start + size]
        values = np.concatenate([np.full((1, gallery.shape[1]), np.nan, gallery.dtype), rows])
        parts.append(EmbeddingPart(values, np.arange(1, size + 1)))
        start += size
    return EmbeddingParts(parts, gallery.shape[1])


def test_parts_with_rows_that_do_not_count_give_what_one_array_gives(monkeypatch):
    queries, gallery = unit_rows(9, 16, 1), unit_rows(300, 16, 2)
    gallery[[3, 77, 150]] = gallery[40]
    parts = cut(gallery, 7, 1, 192, 100)
    assert parts.shape == (300, 16)
    assert np.array_equal(np.asarray(parts), gallery)
    whole = top_k(queries, gallery, 15)
    for block in (1_000, 10):
        monkeypatch.setattr("cfack_runtime.ranking._BLOCK", block)
        found = top_k(queries, parts, 15)
        assert np.array_equal(found.indices, whole.indices)
        assert np.array_equal(found.scores, whole.scores)


@pytest.mark.parametrize("share", [0.02, 0.4, 0.95, 1.0])
def test_only_the_rows_asked_for_are_found(share):
    queries, gallery = unit_rows(9, 16, 1), unit_rows(400, 16, 2)
    rows = np.flatnonzero(np.random.default_rng(3).random(400) < share)
    found = top_k(queries, cut(gallery, 150, 250), 10, rows=rows)
    alone = top_k(queries, gallery[rows], 10)
    assert np.array_equal(found.indices, rows[alone.indices])
    assert np.array_equal(found.scores, alone.scores)


def test_no_rows_find_nothing_and_wrong_rows_are_refused():
    queries, gallery = unit_rows(2, 4), unit_rows(5, 4)
    assert top_k(queries, gallery, 3, rows=np.empty(0, np.int64)).indices.shape == (2, 0)
    for rows in ([3, 2], [1, 1], [-1], [5]):
        with pytest.raises(UsageError, match="ascending places of a gallery of 5, each once"):
            top_k(queries, gallery, 3, rows=np.array(rows))
    with pytest.raises(UsageError, match="rows are float64"):
        top_k(queries, gallery, 3, rows=np.array([0.5]))


def test_images_below_the_least_score_are_left_out():
    gallery = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=np.float32)
    found = top_k(np.array([[1, 0], [0, -1]], dtype=np.float32), gallery, 3, min_score=0.5)
    assert found.indices.tolist() == [[0, 2, -1], [-1, -1, -1]]
    assert [row.tolist() for row in found.found(0)] == [[0, 2], pytest.approx([1, 0.6])]
    assert found.found(1)[0].tolist() == []
    assert top_k(gallery[:1], gallery, 3, min_score=1.0).found(0)[0].tolist() == [0]  # 1.0 reaches 1.0


def test_a_gallery_of_equal_images_is_exact_too(monkeypatch):
    monkeypatch.setattr("cfack_runtime.ranking_shortlist._EXACT_ROWS", 7)
    gallery = np.tile(unit_rows(1, 8), (100, 1))
    gallery[[50, 99]] = -gallery[0]
    found = top_k(gallery[:1], gallery, 60)
    assert found.indices[0].tolist() == [place for place in range(61) if place != 50]


def test_a_bad_row_that_nobody_may_find_does_no_harm():
    gallery = unit_rows(9, 8)
    gallery[6, 2] = np.nan
    rows = np.array([0, 1, 2, 3, 4, 5, 7, 8])
    assert top_k(unit_rows(3, 8), gallery, 2, rows=rows).indices.shape == (3, 2)
    with pytest.raises(DataError, match="gallery image 6 is not finite"):
        top_k(unit_rows(3, 8), gallery, 2, rows=np.array([5, 6, 7]))
