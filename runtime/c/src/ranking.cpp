#include "ranking.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <string>

#include "error.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace cfack {
namespace {

constexpr size_t kPool = 1 << 14;  // candidates looked through together

float dot_portable(const float* a, const float* b, size_t dim) {
  float sums[8] = {};
  size_t i = 0;
  for (; i + 8 <= dim; i += 8) {
    for (size_t j = 0; j < 8; ++j) sums[j] += a[i + j] * b[i + j];
  }
  for (; i < dim; ++i) sums[0] += a[i] * b[i];
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

#if defined(__x86_64__)

__attribute__((target("avx2,fma"))) float dot_fast(const float* a, const float* b, size_t dim) {
  __m256 even = _mm256_setzero_ps(), odd = _mm256_setzero_ps();
  size_t i = 0;
  for (; i + 16 <= dim; i += 16) {
    even = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), even);
    odd = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), odd);
  }
  float parts[8];
  _mm256_storeu_ps(parts, _mm256_add_ps(even, odd));
  float sum = ((parts[0] + parts[4]) + (parts[1] + parts[5])) + ((parts[2] + parts[6]) + (parts[3] + parts[7]));
  for (; i < dim; ++i) sum += a[i] * b[i];
  return sum;
}

#endif

using Dot = float (*)(const float*, const float*, size_t);

Dot choose_dot() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return dot_fast;
#endif
  return dot_portable;
}

float exact_score(const float* a, const float* b, size_t dim) {
  double sum = 0;
  for (size_t i = 0; i < dim; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return static_cast<float>(sum);
}

}  // namespace

void TopK::find(const float* query, const Embeddings& gallery, const uint64_t* selected, size_t count, size_t k) {
  static const Dot dot = choose_dot();
  const size_t dim = gallery.dim();
  places_.clear();
  scores_.clear();
  pool_.clear();
  k = std::min(k, count);
  if (k == 0) return;
  wide_.resize(dim);
  // A float dot product of D terms is off by at most D/2 eps |q||g|; two of them are compared.
  const float norm = std::sqrt(exact_score(query, query, dim));
  const float slack = static_cast<float>(dim) * FLT_EPSILON * norm;
  limit_ = -FLT_MAX;
  size_t room = std::max(2 * k, kPool);
  for (size_t i = 0; i < count; ++i) {
    const uint64_t place = selected == nullptr ? i : selected[i];
    const float score = dot(query, gallery.row(place, wide_.data()), dim);
    if (!(std::fabs(score) <= FLT_MAX)) {
      throw Error(CFACK_ERROR_GALLERY, "the embedding of gallery image " + std::to_string(place) +
                                           " is not finite; encode it again (cfack gallery verify finds all damage)");
    }
    if (score < limit_) continue;
    pool_.push_back({score, place});
    if (pool_.size() < room) continue;
    drop_hopeless(k, slack);
    room = std::max(room, 2 * pool_.size());  // of many that are nearly equal none is hopeless
  }
  if (pool_.size() > k) drop_hopeless(k, slack);
  for (Candidate& one : pool_) one.score = exact_score(query, gallery.row(one.place, wide_.data()), dim);
  std::sort(pool_.begin(), pool_.end(), [](const Candidate& a, const Candidate& b) {
    return a.score != b.score ? a.score > b.score : a.place < b.place;
  });
  pool_.resize(std::min(pool_.size(), k));
  for (const Candidate& one : pool_) {
    places_.push_back(one.place);
    scores_.push_back(one.score);
  }
}

// Drop what cannot be among the first k: the k-th best of some is no better than the k-th best of all.
void TopK::drop_hopeless(size_t k, float slack) {
  const auto kth = pool_.begin() + static_cast<std::ptrdiff_t>(k - 1);
  std::nth_element(pool_.begin(), kth, pool_.end(),
                   [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  limit_ = std::max(limit_, kth->score - slack);
  pool_.erase(std::remove_if(kth + 1, pool_.end(), [this](const Candidate& one) { return one.score < limit_; }),
              pool_.end());
}

}  // namespace cfack
