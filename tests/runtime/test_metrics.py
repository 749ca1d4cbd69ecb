import numpy as np
import pytest

from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.metrics import QueryMetrics, query_metrics, recall_at, relevance, summarize
from cfack_runtime.ranking import rank_all

# 4 queries, 8 gallery images of identities 7 7 7 5 5 9 9 9.
GALLERY_IDS = np.array([7, 7, 7, 5, 5, 9, 9, 9])
QUERY_IDS = np.array([7, 5, 9, 7])
SCORES = np.array(
    [
        [9, 8, 7, 6, 5, 4, 3, 2],  # 7s at ranks 1 2 3
        [8, 7, 6, 5, 1, 4, 3, 2],  # 5s at ranks 4 8
        [9, 1, 2, 3, 4, 8, 6, 5],  # 9s at ranks 2 3 4
        [5, 5, 5, 5, 5, 5, 5, 9],  # all but one tie: gallery order, 7s at ranks 2 3 4
    ],
    dtype=np.float32,
)
AVERAGE_PRECISION = [1, (1 / 4 + 2 / 8) / 2, (1 / 2 + 2 / 3 + 3 / 4) / 3, (1 / 2 + 2 / 3 + 3 / 4) / 3]
INVERSE_PENALTY = [3 / 3, 2 / 8, 3 / 4, 3 / 4]


def measured():
    return query_metrics(relevance(rank_all(SCORES), QUERY_IDS, GALLERY_IDS))


def test_relevance_is_the_same_identity_in_rank_order():
    relevant = relevance(rank_all(SCORES), QUERY_IDS, GALLERY_IDS)
    assert relevant.dtype == np.bool_
    assert relevant[1].tolist() == [False, False, False, True, False, False, False, True]
    assert relevant[3].tolist() == [False, True, True, True, False, False, False, False]


def test_the_metrics_of_a_4_by_8_matrix_worked_out_by_hand():
    metrics = measured()
    assert metrics.first_hit.tolist() == [1, 4, 2, 2]
    assert np.allclose(metrics.average_precision, AVERAGE_PRECISION, atol=1e-15)
    assert np.allclose(metrics.inverse_penalty, INVERSE_PENALTY, atol=1e-15)


def test_the_summary_is_in_percent():
    summary = summarize(measured())
    assert (summary.r1, summary.r5, summary.r10) == (25.0, 100.0, 100.0)
    assert summary.mean_ap == pytest.approx(100 * sum(AVERAGE_PRECISION) / 4)
    assert summary.mean_inp == pytest.approx(100 * (1 + 0.25 + 0.75 + 0.75) / 4)


def test_recall_at_other_depths():
    assert [recall_at(measured(), k) for k in (1, 2, 3, 4, 8)] == [25, 75, 75, 100, 100]


def test_one_relevant_image_gives_one_over_its_rank():
    metrics = query_metrics(np.array([[False, False, True, False]]))
    assert metrics.first_hit.tolist() == [3]
    assert metrics.average_precision.tolist() == pytest.approx([1 / 3])
    assert metrics.inverse_penalty.tolist() == pytest.approx([1 / 3])


def test_all_relevant_is_perfect():
    summary = summarize(query_metrics(np.ones((2, 5), dtype=bool)))
    assert summary.r1 == summary.r5 == summary.r10 == summary.mean_ap == summary.mean_inp == 100


def test_the_worst_place_of_the_last_relevant_image_is_what_minp_sees():
    good_start = np.array([[True, True, False, False, False, True]])
    metrics = query_metrics(good_start)
    assert metrics.inverse_penalty.tolist() == [3 / 6]
    assert metrics.average_precision.tolist() == pytest.approx([(1 + 1 + 3 / 6) / 3])


def test_average_precision_is_not_the_trapezoid_of_market_1501():
    metrics = query_metrics(np.array([[False, True]]))
    trapezoid = (0 / 1 + 1 / 2) / 2
    assert metrics.average_precision.tolist() == [0.5]
    assert metrics.average_precision[0] != trapezoid


def test_blocks_of_queries_give_what_all_at_once_give():
    relevant = relevance(rank_all(SCORES), QUERY_IDS, GALLERY_IDS)
    blocks = QueryMetrics.concatenate([query_metrics(relevant[:1]), query_metrics(relevant[1:])])
    assert summarize(blocks) == summarize(measured())
    assert blocks.first_hit.tolist() == [1, 4, 2, 2]


def test_a_query_without_its_identity_in_the_gallery_is_named():
    relevant = np.array([[True, False], [False, False]])
    with pytest.raises(DataError, match="query 1 has no image of its identity"):
        query_metrics(relevant)
    with pytest.raises(DataError, match="query 257 has no image"):
        query_metrics(relevant, first_query=256)


def test_an_empty_gallery_has_no_relevant_image():
    with pytest.raises(DataError, match="query 0"):
        query_metrics(np.empty((1, 0), dtype=bool))


def test_no_queries_cannot_be_summarized():
    with pytest.raises(DataError, match="no queries"):
        summarize(query_metrics(np.empty((0, 4), dtype=bool)))


def test_rankings_must_fit_the_identities():
    with pytest.raises(UsageError, match=r"rankings \(4, 8\) do not fit 3 queries and 8 images"):
        relevance(rank_all(SCORES), QUERY_IDS[:3], GALLERY_IDS)
