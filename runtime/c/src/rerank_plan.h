// Which pairs of a block of queries are matched image by image, and which query by query.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "manifest.h"

namespace cfack {

// A query of a block and one of its candidates.
struct Pair {
  uint64_t place;  // of the image in the gallery
  size_t query;    // of the block
  size_t slot;     // where its logits go
};

// From how many texts an image is cheaper once for all of them than once for each, in the multiplications of one
// layer: by image, keys and values are computed once, 2 (1+N) C C', and a text of T tokens attends to them with
// 2 T (1+N) C. By query, with the key and value projections folded into the text's side, a pair costs
// 2 T (1+N) H C' + 2 T C C', H heads; not folded, it computes its own keys and values. Infinite if never.
double texts_that_pay(const Geometry& geometry, bool folded, double mean_length);

// Put the pairs whose image at least so many texts share first, image by image in the order of the gallery, and behind
// them all others query by query, in the order of the gallery too. Returns how many are shared.
size_t plan_pairs(std::vector<Pair>* pairs, double texts_that_pay);

}  // namespace cfack
