#include "rerank_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

namespace cfack {
namespace {

constexpr double kHeadWidth = 64;  // as BERT's are
constexpr double kCall = 20e6;     // multiplications that take about as long as one call of a small graph

}  // namespace

double texts_that_pay(const Geometry& geometry, bool folded, double mean_length) {
  const double tokens = geometry.image_token_count, width = geometry.text_token_width;
  const double image_width = geometry.image_token_width;
  const double keys = 2 * tokens * width * image_width;
  const double attending = 2 * mean_length * tokens * width;
  const double heads = std::max(1.0, std::floor(width / kHeadWidth));
  const double by_query = 2 * mean_length * (tokens * heads + width) * image_width;
  const double saved = folded ? std::min(by_query - attending, keys) : keys;
  return saved > 0 ? (keys + kCall) / saved : std::numeric_limits<double>::infinity();
}

size_t plan_pairs(std::vector<Pair>* pairs, double pay) {
  const auto by_query = [](const Pair& a, const Pair& b) {
    return std::tie(a.query, a.place) < std::tie(b.query, b.place);
  };
  const auto by_image = [](const Pair& a, const Pair& b) {
    return std::tie(a.place, a.query) < std::tie(b.place, b.query);
  };
  size_t shared = 0;
  if (std::isfinite(pay)) {
    std::sort(pairs->begin(), pairs->end(), by_image);
    // Shared ones move to the front; the order of the others does not matter yet.
    for (size_t start = 0, end = 0; start < pairs->size(); start = end) {
      while (end < pairs->size() && (*pairs)[end].place == (*pairs)[start].place) ++end;
      if (static_cast<double>(end - start) < pay) continue;
      for (size_t i = start; i < end; ++i) std::swap((*pairs)[shared++], (*pairs)[i]);
    }
  }
  std::sort(pairs->begin() + static_cast<std::ptrdiff_t>(shared), pairs->end(), by_query);
  return shared;
}

}  // namespace cfack
