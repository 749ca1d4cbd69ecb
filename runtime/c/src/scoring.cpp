#include "scoring.h"

#include <cmath>

#include "cfack.h"
#include "error.h"

namespace cfack {
namespace {

double log_odds(const float* logits) { return static_cast<double>(logits[1]) - static_cast<double>(logits[0]); }

// 1 / (1 + exp(-x)), in a form that cannot overflow.
double sigmoid(double x) { return 0.5 + 0.5 * std::tanh(0.5 * x); }

}  // namespace

Scoring::Scoring(int score, const std::optional<ScoreCalibration>& calibration, const std::string& bundle)
    : score_(score) {
  if (score < CFACK_SCORE_LOGIT || score > CFACK_SCORE_PROBABILITY) {
    throw Error(CFACK_ERROR_INVALID, "score is " + std::to_string(score) + ", expected a CFACK_SCORE_, 0 to 2");
  }
  if (score != CFACK_SCORE_PROBABILITY) return;
  if (!calibration) {
    throw Error(CFACK_ERROR_INVALID, bundle + ": holds no score calibration, so its scores are no probabilities; fit "
                                              "one with `cfack evaluate --bundle B --data D --split val "
                                              "--fit-scores`, or use CFACK_SCORE_LOG_ODDS");
  }
  calibration_ = calibration;
}

double Scoring::linear(const float* logits, float cosine) const {
  const double odds = log_odds(logits);
  if (!calibration_) return odds;
  return calibration_->slope * odds + calibration_->cosine * static_cast<double>(cosine) + calibration_->offset;
}

double Scoring::ranked_by(const float* logits, float cosine) const {
  // A probability before its sigmoid, which makes the most probable ones all 1.
  return score_ == CFACK_SCORE_LOGIT ? static_cast<double>(logits[1]) : linear(logits, cosine);
}

double Scoring::match_score(const float* logits, float cosine) const {
  const double value = linear(logits, cosine);
  return score_ == CFACK_SCORE_LOG_ODDS ? value : sigmoid(value);
}

}  // namespace cfack
