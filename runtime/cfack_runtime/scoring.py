"""What a match score is: the official order, the log-odds, or a probability fitted on known pairs.

With z0 and z1 the re-ranker's logits, the log-odds are z1 - z0, and softmax gives 1 / (1 + exp(z0 - z1)).
A re-ranker is trained on pairs of which about half match; among the candidates of a search far fewer do, so
softmax is no probability there. Platt scaling makes it one, here with the two encoders' cosine c beside the
log-odds: p = 1 / (1 + exp(-(a (z1 - z0) + w c + b))), with a, w and b fitted to the pairs of a validation
split (J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999; targets as in H.-T. Lin, C.-J. Lin
and R. Weng, "A Note on Platt's Probabilistic Outputs", 2007).

The cosine has a place there because the re-ranker learns from hard negatives, drawn with probability
proportional to exp(c / temperature). The best classifier of matching pairs against such negatives has the
log-odds log p(text, image) / (p(text) p(image)) - c / temperature + constant: what makes a pair likely, less
what the encoders knew already. Putting the cosine back gives the ratio itself.

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
    """How pairs get probabilities: sigmoid(slope * log-odds + cosine * their cosine + offset)."""

    slope: float
    offset: float
    pairs: int
    """Number of pairs that it was fitted to."""
    split_sha256: str
    """Hash of the split's annotation file."""
    cosine: float = 0.0
    """Weight of the cosine of query and image, 0 or more."""

    def log_odds(self, odds: FloatArray, cosines: FloatArray) -> NDArray[np.float64]:
        """The calibrated log-odds of pairs (P,), whose sigmoid is the probability."""
        return np.asarray(self.slope * odds + self.cosine * cosines.astype(np.float64) + self.offset)


@dataclass(frozen=True)
class Scoring:
    """One of `SCORES`.

    "logit" ranks by logit 1, the official score, and its threshold is on softmax(logits)[1], 0 to 1;
    "log-odds" ranks by logit 1 - logit 0, and has its threshold there; "probability" ranks by the calibrated
    probability, and has its threshold there.
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

    def ranked_by(self, logits: NDArray[np.float32], cosines: FloatArray) -> NDArray[np.float64]:
        """What candidates are put in order by: (K,), largest first.

        Args:
            logits: (K, 2) of the re-ranker.
            cosines: (K,) of query and image.
        """
        if self.name == LOGIT:
            return logits[:, 1].astype(np.float64)
        # Without the sigmoid, which makes the most probable ones all 1.
        return self._log_odds(logits, cosines)

    def match_scores(self, logits: NDArray[np.float32], cosines: FloatArray) -> NDArray[np.float64]:
        """What a hit shows and a threshold is compared with: (K,), of the same arguments."""
        odds = self._log_odds(logits, cosines)
        return odds if self.name == LOG_ODDS else sigmoid(odds)

    def _log_odds(self, logits: NDArray[np.float32], cosines: FloatArray) -> NDArray[np.float64]:
        """Calibrated if the name says so: (K,)."""
        odds = log_odds(logits)
        if self.name != PROBABILITY or self.calibration is None:
            return odds
        return self.calibration.log_odds(odds, cosines)


def log_odds(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logit 1 - logit 0 of (K, 2), as (K,)."""
    return logits[:, 1].astype(np.float64) - logits[:, 0]


def sigmoid(values: FloatArray) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)), in a form that cannot overflow."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * np.asarray(values, np.float64)))


def fit_calibration(
    odds: FloatArray, cosines: FloatArray, matches: NDArray[np.bool_], split_sha256: str
) -> ScoreCalibration:
    """Fit the weights and the offset to known pairs, by Newton's method with halved steps.

    The n+ matching pairs have the target (n+ + 1) / (n+ + 2) and the n- others 1 / (n- + 2), so that pairs
    that are told apart completely do not give infinite weights. A cosine that would count against a pair is
    left out: at depths that were not fitted, it would turn the encoders' order around.

    Args:
        odds: (P,) log-odds, finite.
        cosines: (P,) of query and image, finite.
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
    slope, cosine, offset = _fit(np.stack([odds, cosines], axis=1), target)
    if cosine < 0:
        cosine = 0.0
        slope, offset = _fit(np.asarray(odds)[:, None], target)
    if not slope > 0:
        raise DataError(
            f"the fitted slope is {slope:.3g}: matching pairs do not have the higher scores, so no threshold "
            "can mean anything; the re-ranker is untrained or the split is wrong"
        )
    return ScoreCalibration(slope, offset, len(matches), split_sha256, cosine)


def _fit(features: FloatArray, target: NDArray[np.float64]) -> list[float]:
    """Logistic regression on (P, F) features: F weights, and the offset."""
    # Standardised, so that the parameters are of one size; a feature that never changes gets no weight.
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread[spread == 0] = 1.0
    x = np.concatenate([(features - mean) / spread, np.ones((len(features), 1))], axis=1)
    prior = target.mean()
    parameters = np.zeros(x.shape[1])
    parameters[-1] = np.log(prior / (1 - prior))
    loss = _loss(x, target, parameters)
    for _ in range(_ROUNDS):
        p = sigmoid(x @ parameters)
        hessian = (x * (p * (1 - p))[:, None]).T @ x + _DAMPING * len(x) * np.eye(x.shape[1])
        step = np.linalg.solve(hessian, x.T @ (p - target))
        size = 1.0
        while (new := _loss(x, target, parameters - size * step)) > loss and size > _DAMPING:
            size /= 2
        parameters, gained, loss = parameters - size * step, loss - new, new
        if gained <= _CONVERGED * max(1.0, loss):
            break
    weights = parameters[:-1] / spread
    return [*weights.tolist(), float(parameters[-1] - weights @ mean)]


def _loss(x: NDArray[np.float64], target: NDArray[np.float64], parameters: NDArray[np.float64]) -> float:
    """Cross entropy, in a form that cannot overflow."""
    z = x @ parameters
    return float((np.logaddexp(0, z) - target * z).sum())
