#include "tokens.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "half.h"

namespace cfack {
namespace {

constexpr float kLargest = 127;  // -128 is not used, so that a number and its opposite are equally well kept
constexpr size_t kPiece = 256;

void scaled(const int8_t* numbers, float scale, float* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>(numbers[i]) * scale;
}

}  // namespace

void convert_tokens(const void* from, DType from_type, void* to, DType to_type, size_t count) {
  if (from_type == to_type) {
    std::memcpy(to, from, count * dtype_size(to_type));
  } else if (to_type == DType::kFloat32) {
    half_to_float(static_cast<const uint16_t*>(from), static_cast<float*>(to), count);
  } else {
    float_to_half(static_cast<const float*>(from), static_cast<uint16_t*>(to), count);
  }
}

bool quantize_tokens(const float* tokens, size_t rows, size_t width, int8_t* numbers, float* scales) {
  if (!all_finite(tokens, rows * width)) return false;
  for (size_t row = 0; row < rows; ++row, tokens += width, numbers += width) {
    float largest = 0;
    for (size_t i = 0; i < width; ++i) largest = std::max(largest, std::fabs(tokens[i]));
    scales[row] = largest / kLargest;
    const float divisor = scales[row] == 0 ? 1 : scales[row];
    for (size_t i = 0; i < width; ++i) {
      // Clipped for tokens so small that their scale is a denormal number, which has few digits.
      const float number = std::clamp(std::nearbyint(tokens[i] / divisor), -kLargest, kLargest);
      numbers[i] = static_cast<int8_t>(number);
    }
  }
  return true;
}

void dequantize_tokens(const int8_t* numbers, const float* scales, size_t rows, size_t width, DType type, void* out) {
  for (size_t row = 0; row < rows; ++row, numbers += width) {
    if (type == DType::kFloat32) {
      scaled(numbers, scales[row], static_cast<float*>(out) + row * width, width);
      continue;
    }
    float wide[kPiece];
    for (size_t start = 0; start < width; start += kPiece) {
      const size_t count = std::min(kPiece, width - start);
      scaled(numbers + start, scales[row], wide, count);
      float_to_half(wide, static_cast<uint16_t*>(out) + row * width + start, count);
    }
  }
}

}  // namespace cfack
