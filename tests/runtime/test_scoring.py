"""Scores and their calibration."""

import numpy as np
import pytest

from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.scoring import ScoreCalibration, Scoring, fit_calibration, log_odds, sigmoid

LOGITS = np.array([[0, 2], [-3, 1], [5, 3]], np.float32)
FITTED = ScoreCalibration(2.0, -4.0, 100, "0" * 64)


def test_logit_ranks_by_logit_1_and_shows_softmax() -> None:
    scoring = Scoring()
    assert scoring.ranked_by(LOGITS).tolist() == [2, 1, 3]
    np.testing.assert_allclose(scoring.match_scores(LOGITS), [0.880797, 0.982014, 0.119203], atol=1e-6)


def test_log_odds_rank_and_show_the_difference() -> None:
    scoring = Scoring("log-odds")
    assert scoring.ranked_by(LOGITS).tolist() == scoring.match_scores(LOGITS).tolist() == [2, 4, -2]


def test_probability_is_the_calibrated_one() -> None:
    scoring = Scoring("probability", FITTED)
    assert scoring.ranked_by(LOGITS).tolist() == [2, 4, -2]
    np.testing.assert_allclose(scoring.match_scores(LOGITS), sigmoid(np.array([0.0, 4.0, -8.0])))


def test_what_cannot_be_scored_is_said() -> None:
    with pytest.raises(UsageError, match="'cosine', expected one of logit, log-odds, probability"):
        Scoring("cosine")
    with pytest.raises(UsageError, match="no score calibration.*--fit-scores"):
        Scoring("probability")


def test_large_logits_do_not_overflow() -> None:
    logits = np.array([[-3e38, 3e38], [3e38, -3e38]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        assert Scoring().match_scores(logits).tolist() == [1, 0]


def test_a_known_calibration_is_found_again() -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(3, 4, 40_000)
    matches = rng.random(len(odds)) < sigmoid(0.7 * odds - 5)
    fitted = fit_calibration(odds, matches, "a" * 64)
    assert (fitted.slope, fitted.offset) == pytest.approx((0.7, -5), rel=0.03)
    assert (fitted.pairs, fitted.split_sha256) == (40_000, "a" * 64)
    # As many matches are promised as there are.
    promised = sigmoid(fitted.slope * odds + fitted.offset).sum()
    assert promised == pytest.approx(matches.sum(), rel=1e-3)


def test_pairs_that_are_told_apart_completely_give_a_finite_slope() -> None:
    odds = np.array([-2.0, -1.0, 1.0, 2.0])
    fitted = fit_calibration(odds, odds > 0, "a" * 64)
    assert 0 < fitted.slope < 100
    assert sigmoid(fitted.slope * 2 + fitted.offset) > 0.5 > sigmoid(-fitted.slope * 2 + fitted.offset)


@pytest.mark.parametrize(
    ("odds", "matches", "message"),
    [
        ([1.0, 2.0], [True, True], "2 matching and 0 other pairs"),
        ([1.0, 2.0, 3.0, 4.0], [True, True, False, False], "matching pairs do not have the higher scores"),
    ],
)
def test_pairs_that_say_nothing_are_refused(odds: list[float], matches: list[bool], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit_calibration(np.array(odds), np.array(matches), "a" * 64)


def test_log_odds_are_computed_in_float64() -> None:
    assert log_odds(np.array([[-(2**24), 1]], np.float32)).tolist() == [2**24 + 1]
