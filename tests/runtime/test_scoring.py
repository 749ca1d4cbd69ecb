"""Scores and their calibration."""

import numpy as np
import pytest

from cfack_runtime.errors import DataError, UsageError
from cfack_runtime.scoring import ScoreCalibration, Scoring, fit_calibration, log_odds, sigmoid

LOGITS = np.array([[0, 2], [-3, 1], [5, 3]], np.float32)
COSINES = np.array([0.5, 0.25, 1.0], np.float32)
FITTED = ScoreCalibration(2.0, -4.0, 100, "0" * 64, cosine=8.0)


def test_logit_ranks_by_logit_1_and_shows_softmax() -> None:
    scoring = Scoring()
    assert scoring.ranked_by(LOGITS, COSINES).tolist() == [2, 1, 3]
    np.testing.assert_allclose(
        scoring.match_scores(LOGITS, COSINES), [0.880797, 0.982014, 0.119203], atol=1e-6
    )


def test_log_odds_rank_and_show_the_difference() -> None:
    scoring = Scoring("log-odds")
    ranked_by, shown = scoring.ranked_by(LOGITS, COSINES), scoring.match_scores(LOGITS, COSINES)
    assert ranked_by.tolist() == shown.tolist() == [2, 4, -2]


def test_probability_is_the_calibrated_one() -> None:
    scoring = Scoring("probability", FITTED)
    assert scoring.ranked_by(LOGITS, COSINES).tolist() == [4, 6, 0]
    shown = scoring.match_scores(LOGITS, COSINES)
    np.testing.assert_allclose(shown, sigmoid(np.array([4.0, 6.0, 0.0])))


def test_probabilities_that_round_to_one_are_still_told_apart() -> None:
    logits = np.array([[0, 100], [0, 102]], np.float32)
    scoring = Scoring("probability", FITTED)
    assert scoring.match_scores(logits, COSINES[:2]).tolist() == [1, 1]
    assert scoring.ranked_by(logits, COSINES[:2]).argmax() == 1


def test_a_calibration_changes_nothing_unless_probabilities_are_asked_for() -> None:
    for name in ("logit", "log-odds"):
        calibrated, plain = Scoring(name, FITTED), Scoring(name)
        assert calibrated.ranked_by(LOGITS, COSINES).tolist() == plain.ranked_by(LOGITS, COSINES).tolist()
        shown = calibrated.match_scores(LOGITS, COSINES)
        assert shown.tolist() == plain.match_scores(LOGITS, COSINES).tolist()


def test_what_cannot_be_scored_is_said() -> None:
    with pytest.raises(UsageError, match="'cosine', expected one of logit, log-odds, probability"):
        Scoring("cosine")
    with pytest.raises(UsageError, match="no score calibration.*--fit-scores"):
        Scoring("probability")


def test_large_logits_do_not_overflow() -> None:
    logits = np.array([[-3e38, 3e38], [3e38, -3e38]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        assert Scoring().match_scores(logits, COSINES[:2]).tolist() == [1, 0]


def test_a_known_calibration_is_found_again() -> None:
    rng = np.random.default_rng(0)
    odds, cosines = rng.normal(3, 4, 40_000), rng.uniform(0.2, 0.8, 40_000)
    matches = rng.random(len(odds)) < sigmoid(0.7 * odds + 6 * cosines - 8)
    fitted = fit_calibration(odds, cosines, matches, "a" * 64)
    assert (fitted.slope, fitted.cosine, fitted.offset) == pytest.approx((0.7, 6, -8), rel=0.03)
    assert (fitted.pairs, fitted.split_sha256) == (40_000, "a" * 64)
    # As many matches are promised as there are.
    promised = sigmoid(fitted.log_odds(odds, cosines)).sum()
    assert promised == pytest.approx(matches.sum(), rel=1e-3)


def test_pairs_that_are_told_apart_completely_give_a_finite_slope() -> None:
    odds = np.array([-2.0, -1.0, 1.0, 2.0])
    fitted = fit_calibration(odds, np.zeros(4), odds > 0, "a" * 64)
    assert fitted.cosine == 0
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
        fit_calibration(np.array(odds), np.zeros(len(odds)), np.array(matches), "a" * 64)


def test_a_cosine_that_would_count_against_a_pair_is_left_out() -> None:
    rng = np.random.default_rng(0)
    odds, cosines = rng.normal(0, 2, 5_000), rng.uniform(0, 1, 5_000)
    matches = rng.random(len(odds)) < sigmoid(odds - 3 * cosines)
    fitted = fit_calibration(odds, cosines, matches, "a" * 64)
    assert fitted.cosine == 0
    alone = fit_calibration(odds, np.zeros(5_000), matches, "a" * 64)
    assert (fitted.slope, fitted.offset) == pytest.approx((alone.slope, alone.offset))


def test_matching_pairs_are_ranked_best_by_logits_and_cosine_together() -> None:
    """Hard negatives divide the cosine out of the logits: either alone ranks worse."""
    rng = np.random.default_rng(0)
    ratio = rng.normal(-2, 2, 20_000)  # log p(text, image) / (p(text) p(image))
    cosines = np.clip(0.5 + 0.1 * ratio + rng.normal(0, 0.15, len(ratio)), -1, 1)
    matches = rng.random(len(ratio)) < sigmoid(ratio)
    odds = ratio - cosines / 0.07
    logits = np.stack([np.zeros(len(odds)), odds], axis=1).astype(np.float32)
    fitted = fit_calibration(odds, cosines, matches, "a" * 64)
    assert fitted.cosine / fitted.slope == pytest.approx(1 / 0.07, rel=0.1)

    def area(scores):
        """Share of (matching, other) pairs in the right order."""
        ranks = np.argsort(np.argsort(scores)) + 1
        n = matches.sum()
        return (ranks[matches].sum() - n * (n + 1) / 2) / (n * (len(scores) - n))

    together = area(Scoring("probability", fitted).ranked_by(logits, cosines))
    assert together > area(Scoring("log-odds").ranked_by(logits, cosines)) + 0.05
    assert together > area(cosines) + 0.05


def test_log_odds_are_computed_in_float64() -> None:
    assert log_odds(np.array([[-(2**24), 1]], np.float32)).tolist() == [2**24 + 1]
