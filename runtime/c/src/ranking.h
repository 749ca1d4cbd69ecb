// Exact rankings, the same whatever the batch: scores are computed in double precision and rounded to float, so that
// equal embeddings tie, and ties go by gallery order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cfack {

// Rows that are ranked: `count` of them, numbered from 0 or, if `places` is given, by what it holds, ascending.
struct Rows {
  const float* values = nullptr;  // (all rows, dim)
  size_t dim = 0;
  size_t count = 0;
  const uint64_t* places = nullptr;

  uint64_t place(size_t i) const { return places == nullptr ? i : places[i]; }
  const float* row(size_t i) const { return values + place(i) * dim; }
};

// Find the k <= count best rows for one query, best first. `rough` is scratch.
void top_k(const float* query, const Rows& rows, size_t k, std::vector<float>* rough, std::vector<uint64_t>* places,
           std::vector<float>* scores);

}  // namespace cfack
