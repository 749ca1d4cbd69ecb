"""What a match score is: the official order, the log-odds, or a probability fitted on known pairs.

With z0 and z1 the re-ranker's logits, the log-odds are z1 - z0, and softmax gives 1 / (1 + exp(z0 - z1)).
A re-ranker is trained on pairs of which about half match; among the candidates of a search far fewer do, so
softmax is no probability there. Platt scaling makes it one: p = 1 / (1 + exp(-(a (z1 - z0) + b))), with a and
b fitted to the pairs of a validation split (J. Platt, "Probabilistic Outputs for Support Vector Machines",
1999; targets as in H.-T. Lin, C.-J. Lin and R. Weng, "A Note on Platt's Probabilistic Outputs", 2007).

Shapes: K candidates, P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfack_runtime.errors import DataError, UsageError

FloatArray = NDArray[np.floating[Any]]

LOGIT, LOG_ODDS, PROBABILITY = "logit", "log-odds", "probability"
SCORES = (LOGIT, LOG_ODDS, PROBABILITY)

_ROUNDS = 100
_CONVERGED = 1e-10
_DAMPING = 1e-12


@dataclass(frozen=True)
class ScoreCalibration:
    """How a bundle's log-odds become probabilities: sigmoid(slope * log-odds + offset)."""

    slope: float
    offset: float
    pairs: int
    """Number of pairs that it was fitted to."""
    split_sha256: str
    """Hash of the split's annotation file."""


@dataclass(frozen=True)
class Scoring:
    """One of `SCORES`.

    "logit" ranks by logit 1, the official score, and its threshold is on softmax(logits)[1], 0 to 1;
    "log-odds" ranks by logit 1 - logit 0, and has its threshold there; "probability" ranks the same way, and
    its threshold is on the calibrated probability.
    """

    name: str = LOGIT
    calibration: ScoreCalibration | None = None

    def __post_init__(self) -> None:
        if self.name not in SCORES:
            raise UsageError(f"score is {self.name!r}, expected one of {', '.join(SCORES)}")
        if self.name == PROBABILITY and self.calibration is None:
            raise UsageError(
                "the bundle holds no score calibration, so its scores are no probabilities; fit one with "
                "`cfack evaluate --bundle B --data D --split val --fit-scores`, or use the score log-odds"
            )

    def ranked_by(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """What candidates (K, 2) are put in order by: (K,), largest first."""
        return logits[:, 1].astype(np.float64) if self.name == LOGIT else log_odds(logits)

    def match_scores(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """What a hit shows and a threshold is compared with: (K,)."""
        odds = log_odds(logits)
        if self.name == LOG_ODDS:
            return odds
        if self.name == PROBABILITY and self.calibration is not None:
            return sigmoid(self.calibration.slope * odds + self.calibration.offset)
        return sigmoid(odds)


def log_odds(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logit 1 - logit 0 of (K, 2), as (K,)."""
    return logits[:, 1].astype(np.float64) - logits[:, 0]


def sigmoid(values: FloatArray) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)), in a form that cannot overflow."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * np.asarray(values, np.float64)))


def fit_calibration(odds: FloatArray, matches: NDArray[np.bool_], split_sha256: str) -> ScoreCalibration:
    """Fit slope and offset to known pairs, by Newton's method with halved steps.

    The n+ matching pairs have the target (n+ + 1) / (n+ + 2) and the n- others 1 / (n- + 2), so that pairs
    that are told apart completely do not give an infinite slope.

    Args:
        odds: (P,) log-odds, finite.
        matches: (P,) whether the pair matches.
        split_sha256: hash of the annotation file that the pairs are from.

    Raises:
        DataError: only one kind of pairs, or odds that do not rise with matching; nothing can be fitted.
    """
    positive = int(matches.sum())
    negative = len(matches) - positive
    if not positive or not negative:
        raise DataError(
            f"{positive} matching and {negative} other pairs: a probability needs both kinds; take another "
            "split, or more candidates"
        )
    target = np.where(matches, (positive + 1) / (positive + 2), 1 / (negative + 2))
    # Standardised, so that the two parameters are of one size.
    mean, spread = float(np.mean(odds)), float(np.std(odds)) or 1.0
    x = (np.asarray(odds, np.float64) - mean) / spread
    parameters = np.array([0.0, np.log((positive + 1) / (negative + 1))])
    loss = _loss(x, target, parameters)
    for _ in range(_ROUNDS):
        p = sigmoid(parameters[0] * x + parameters[1])
        gradient = np.array([((p - target) * x).sum(), (p - target).sum()])
        weight = p * (1 - p)
        hessian = np.array(
            [[(weight * x * x).sum(), (weight * x).sum()], [(weight * x).sum(), weight.sum()]]
        ) + _DAMPING * len(x) * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while (new := _loss(x, target, parameters - size * step)) > loss and size > _DAMPING:
            size /= 2
        parameters, gained, loss = parameters - size * step, loss - new, new
        if gained <= _CONVERGED * max(1.0, loss):
            break
    slope = float(parameters[0] / spread)
    if not slope > 0:
        raise DataError(
            f"the fitted slope is {slope:.3g}: matching pairs do not have the higher scores, so no threshold "
            "can mean anything; the re-ranker is untrained or the split is wrong"
        )
    return ScoreCalibration(slope, float(parameters[1] - slope * mean), len(matches), split_sha256)


def _loss(x: NDArray[np.float64], target: NDArray[np.float64], parameters: NDArray[np.float64]) -> float:
    """Cross entropy, in a form that cannot overflow."""
    z = parameters[0] * x + parameters[1]
    return float((np.logaddexp(0, z) - target * z).sum())
