#include "half.h"

#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace cfack {
namespace {

float widen(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  uint32_t exponent = half >> 10 & 0x1fu, fraction = half & 0x3ffu;
  uint32_t bits = sign;
  if (exponent == 0x1f) {
    bits |= 0x7f800000u | fraction << 13;
  } else if (exponent != 0) {
    bits |= (exponent + 112) << 23 | fraction << 13;
  } else if (fraction != 0) {  // subnormal: shift until the leading one is implicit
    exponent = 113;
    while ((fraction & 0x400u) == 0) {
      fraction <<= 1;
      --exponent;
    }
    bits |= exponent << 23 | (fraction & 0x3ffu) << 13;
  }
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

uint16_t narrow(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);   // NaN
  if (bits >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // rounds beyond the largest
  if (bits < 0x38800000u) {                                              // below the smallest normal number
    if (bits < 0x33000000u) return static_cast<uint16_t>(sign);
    const uint32_t shift = 126 - (bits >> 23), fraction = (bits & 0x7fffffu) | 0x800000u;
    const uint32_t rest = fraction & ((1u << shift) - 1), middle = 1u << (shift - 1);
    uint32_t result = fraction >> shift;
    result += rest > middle || (rest == middle && (result & 1u));
    return static_cast<uint16_t>(sign | result);
  }
  bits += 0xfffu + (bits >> 13 & 1u);
  return static_cast<uint16_t>(sign | ((bits >> 13) - (112u << 10)));
}

#if defined(__x86_64__)

bool has_f16c() {
  static const bool found = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;  // "f16c" is no name to clang 14
    return __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  }();
  return found;
}

__attribute__((target("avx,f16c"))) size_t widen_fast(const uint16_t* from, float* to, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
  }
  return i;
}

__attribute__((target("avx,f16c"))) size_t narrow_fast(const float* from, uint16_t* to, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
  }
  return i;
}

#endif

}  // namespace

void half_to_float(const uint16_t* from, float* to, size_t count) {
  size_t i = 0;
#if defined(__x86_64__)
  if (has_f16c()) i = widen_fast(from, to, count);
#endif
  for (; i < count; ++i) to[i] = widen(from[i]);
}

void float_to_half(const float* from, uint16_t* to, size_t count) {
  size_t i = 0;
#if defined(__x86_64__)
  if (has_f16c()) i = narrow_fast(from, to, count);
#endif
  for (; i < count; ++i) to[i] = narrow(from[i]);
}

bool all_finite(const float* values, size_t count) {
  bool finite = true;
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    finite &= (bits & 0x7f800000u) != 0x7f800000u;
  }
  return finite;
}

bool all_finite(const uint16_t* halves, size_t count) {
  bool finite = true;
  for (size_t i = 0; i < count; ++i) finite &= (halves[i] & 0x7c00u) != 0x7c00u;
  return finite;
}

}  // namespace cfack
