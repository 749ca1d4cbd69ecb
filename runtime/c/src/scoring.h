// What a match score is: the official order, the log-odds, or a probability fitted on known pairs.
// docs/search.md has the formulas; Python computes them in the same order of operations.
#pragma once

#include <optional>
#include <string>

namespace cfack {

// sigmoid(slope * log-odds + cosine * the encoders' cosine + offset) is a probability.
struct ScoreCalibration {
  double slope = 1;
  double cosine = 0;
  double offset = 0;
};

class Scoring {
 public:
  // `score` is a CFACK_SCORE_; `bundle` is what messages call the owner of the calibration.
  // Throws Error(CFACK_ERROR_INVALID).
  Scoring(int score, const std::optional<ScoreCalibration>& calibration, const std::string& bundle);

  // What candidates are put in order by, largest first. `logits` are the two of one pair.
  double ranked_by(const float* logits, float cosine) const;
  // What a hit shows and a threshold is compared with.
  double match_score(const float* logits, float cosine) const;

 private:
  double linear(const float* logits, float cosine) const;

  int score_;
  std::optional<ScoreCalibration> calibration_;
};

}  // namespace cfack
