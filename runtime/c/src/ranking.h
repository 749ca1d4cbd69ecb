// Exact rankings, the same whatever the batch: scores are computed in double precision and rounded to float, so that
// equal embeddings tie, and ties go by gallery order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "embeddings.h"

namespace cfack {

// The best images of one query, best first. Its memory does not grow with the gallery, and is kept for the next query.
class TopK {
 public:
  // Find the k best of the `count` images of `selected`, ascending; nullptr: of all. Fewer images give them all.
  // Throws Error(CFACK_ERROR_GALLERY) that names an image whose embedding is not finite.
  void find(const float* query, const Embeddings& gallery, const uint64_t* selected, size_t count, size_t k);

  const std::vector<uint64_t>& places() const { return places_; }
  const std::vector<float>& scores() const { return scores_; }

 private:
  struct Candidate {
    float score;
    uint64_t place;
  };

  void drop_hopeless(size_t k, float slack);

  std::vector<uint64_t> places_;
  std::vector<float> scores_;
  std::vector<Candidate> pool_;
  std::vector<float> wide_;
  float limit_ = 0;
};

}  // namespace cfack
