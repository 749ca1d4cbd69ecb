#include "ranking.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace cfack {
namespace {

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

void top_k(const float* query, const Rows& rows, size_t k, std::vector<float>* rough, std::vector<uint64_t>* places,
           std::vector<float>* scores) {
  static const Dot dot = choose_dot();
  const size_t count = rows.count, dim = rows.dim;
  places->clear();
  scores->clear();
  if (k == 0 || count == 0) return;
  // A float dot product of D terms is off by at most D/2 eps |q||g|; two of them are compared.
  const float norm = std::sqrt(exact_score(query, query, dim));
  const float slack = static_cast<float>(dim) * FLT_EPSILON * norm;
  rough->resize(2 * count);
  float* all = rough->data();
  for (size_t i = 0; i < count; ++i) all[i] = dot(query, rows.row(i), dim);
  float* sorted = all + count;
  std::copy(all, all + count, sorted);
  std::nth_element(sorted, sorted + (k - 1), sorted + count, [](float a, float b) { return a > b; });
  const float threshold = sorted[k - 1] - slack;
  for (size_t i = 0; i < count; ++i) {
    if (all[i] >= threshold) places->push_back(i);
  }
  for (const uint64_t i : *places) all[i] = exact_score(query, rows.row(i), dim);
  std::sort(places->begin(), places->end(), [all](uint64_t a, uint64_t b) {
    return all[a] != all[b] ? all[a] > all[b] : a < b;
  });
  places->resize(std::min(places->size(), k));
  for (uint64_t& i : *places) {
    scores->push_back(all[i]);
    i = rows.place(i);
  }
}

}  // namespace cfack
