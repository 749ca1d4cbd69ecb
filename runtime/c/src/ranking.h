// Exact rankings, the same whatever the batch: scores are computed in double precision and rounded to float, so that
// equal embeddings tie, and ties go by gallery order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cfack {

// Find the k <= count best rows of `gallery` (count, dim) for one query, best first. `rough` is scratch.
void top_k(const float* query, const float* gallery, size_t count, size_t dim, size_t k, std::vector<float>* rough,
           std::vector<uint64_t>* places, std::vector<float>* scores);

}  // namespace cfack
