// Bicubic resampling with 22-bit fixed-point weights: the definition of `squash-bicubic-1`, bit for bit.
//
// The loops are written for the compiler's vectorizer. A weight of 23 bits is kept as two numbers of 16,
// weight = high * 2^15 + low, because products of 16-bit numbers are what every SIMD unit adds up fast.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "error.h"
#include "image.h"

namespace cfack {
namespace {

constexpr int kWeightBits = 22;
constexpr int kLowBits = 15;
constexpr double kCubic = -0.5;
constexpr double kSupport = 2;
constexpr size_t kLanes = 8;     // taps are padded to a multiple
constexpr size_t kBlock = 256;   // taps whose sum surely fits into 32 bits: 256 * 255 * 2^14 < 2^31

double cubic(double x) {
  x = std::fabs(x);
  if (x < 1) return ((kCubic + 2) * x - (kCubic + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * kCubic;
  return 0;
}

// For each output position: where its taps begin, and their weights.
struct Taps {
  size_t count;               // a position, padded with zeros
  std::vector<size_t> first;  // of the input, per position
  std::vector<int32_t> weights;
  std::vector<int16_t> high, low;

  Taps(int in, int out) {
    const double scale = static_cast<double>(in) / out;
    const double stretch = std::max(scale, 1.0);
    const double support = kSupport * stretch;
    const size_t most = static_cast<size_t>(std::ceil(support)) * 2 + 1;
    count = (most + kLanes - 1) / kLanes * kLanes;
    first.resize(static_cast<size_t>(out));
    weights.resize(count * static_cast<size_t>(out));
    high.resize(weights.size());
    low.resize(weights.size());
    std::vector<double> exact(most);
    for (int position = 0; position < out; ++position) {
      const double center = (position + 0.5) * scale;
      const int begin = std::max(static_cast<int>(center - support + 0.5), 0);
      const int end = std::min(static_cast<int>(center + support + 0.5), in);
      const double shrink = 1.0 / stretch;
      double sum = 0;
      for (int x = begin; x < end; ++x) {
        const double weight = cubic((x - center + 0.5) * shrink);
        exact[static_cast<size_t>(x - begin)] = weight;
        sum += weight;
      }
      first[static_cast<size_t>(position)] = static_cast<size_t>(begin);
      for (int x = begin; x < end; ++x) {
        const size_t tap = static_cast<size_t>(x - begin);
        const double weight = (sum != 0 ? exact[tap] / sum : exact[tap]) * (1 << kWeightBits);
        const int32_t rounded = static_cast<int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
        const int32_t above = (rounded + (1 << (kLowBits - 1))) >> kLowBits;
        const size_t place = static_cast<size_t>(position) * count + tap;
        weights[place] = rounded;
        high[place] = static_cast<int16_t>(above);
        low[place] = static_cast<int16_t>(rounded - (above * (1 << kLowBits)));
      }
    }
  }
};

uint8_t rounded(int32_t sum) {
  return static_cast<uint8_t>(std::clamp((sum + (1 << (kWeightBits - 1))) >> kWeightBits, 0, 255));
}

// The weighted sum, which is below 2^31; only its low part alone could be more. `kCount` taps, or `count` if 0.
template <size_t kCount>
inline int32_t weighted(const int16_t* values, const int16_t* high, const int16_t* low, size_t count) {
  if constexpr (kCount != 0) {
    int32_t above = 0, below = 0;
    for (size_t tap = 0; tap < kCount; ++tap) above += values[tap] * high[tap];
    for (size_t tap = 0; tap < kCount; ++tap) below += values[tap] * low[tap];
    return above * (1 << kLowBits) + below;
  } else {
    int64_t sum = 0;
    for (size_t block = 0; block < count; block += kBlock) {
      const size_t end = std::min(count, block + kBlock);
      int32_t above = 0, below = 0;
      for (size_t tap = block; tap < end; ++tap) above += values[tap] * high[tap];
      for (size_t tap = block; tap < end; ++tap) below += values[tap] * low[tap];
      sum += static_cast<int64_t>(above) * (1 << kLowBits) + below;
    }
    return static_cast<int32_t>(sum);
  }
}

template <size_t kCount>
void resize_row(const int16_t* const planes[3], const Taps& taps, uint8_t* out) {
  for (size_t x = 0; x < taps.first.size(); ++x, out += 3) {
    const int16_t* high = &taps.high[x * taps.count];
    const int16_t* low = &taps.low[x * taps.count];
    const size_t first = taps.first[x];
    out[0] = rounded(weighted<kCount>(planes[0] + first, high, low, taps.count));
    out[1] = rounded(weighted<kCount>(planes[1] + first, high, low, taps.count));
    out[2] = rounded(weighted<kCount>(planes[2] + first, high, low, taps.count));
  }
}

// Adds weight times each value; all of a tap's values at once, whatever they are of.
inline void add_weighted(int32_t weight, const uint8_t* values, size_t count, int32_t* sums) {
  for (size_t i = 0; i < count; ++i) sums[i] += weight * values[i];
}

uint8_t rounded_down(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255)); }

// (height, width) to (height, out_width) with few taps: a block of rows at a time, turned on its side, so that
// the same sample of many rows lies side by side.
void resize_rows_together(const uint8_t* pixels, int width, int height, size_t stride, const Taps& taps,
                          uint8_t* out) {
  constexpr size_t kRows = 32, kColumn = 3 * kRows;
  const size_t out_stride = 3 * taps.first.size();
  std::vector<uint8_t> columns(static_cast<size_t>(width) * kColumn);
  int32_t sums[kColumn];
  for (size_t top = 0; top < static_cast<size_t>(height); top += kRows) {
    const size_t rows = std::min(kRows, static_cast<size_t>(height) - top);
    for (size_t row = 0; row < rows; ++row) {
      const uint8_t* from = pixels + (top + row) * stride;
      uint8_t* to = columns.data() + 3 * row;
      for (size_t x = 0; x < static_cast<size_t>(width); ++x, from += 3, to += kColumn) {
        to[0] = from[0];
        to[1] = from[1];
        to[2] = from[2];
      }
    }
    for (size_t x = 0; x < taps.first.size(); ++x) {
      std::fill(std::begin(sums), std::end(sums), 1 << (kWeightBits - 1));
      for (size_t tap = 0; tap < taps.count; ++tap) {
        const int32_t weight = taps.weights[x * taps.count + tap];
        if (weight != 0) add_weighted(weight, &columns[(taps.first[x] + tap) * kColumn], kColumn, sums);
      }
      uint8_t* to = out + top * out_stride + 3 * x;
      for (size_t row = 0; row < rows; ++row, to += out_stride) {
        for (size_t channel = 0; channel < 3; ++channel) to[channel] = rounded_down(sums[3 * row + channel]);
      }
    }
  }
}

// (height, width) to (height, out_width).
void resize_rows(const uint8_t* pixels, int width, int height, size_t stride, int out_width, uint8_t* out) {
  const Taps taps(width, out_width);
  if (taps.count == kLanes) return resize_rows_together(pixels, width, height, stride, taps, out);
  const auto resize = taps.count == 16   ? resize_row<16>  // the common scales of shrinking
                      : taps.count == 24 ? resize_row<24>
                      : taps.count == 32 ? resize_row<32>
                                         : resize_row<0>;
  const size_t plane = static_cast<size_t>(width) + taps.count;  // taps of weight 0 reach beyond the row
  std::vector<int16_t> values(3 * plane);
  int16_t* const red = values.data();
  int16_t* const green = red + plane;
  int16_t* const blue = green + plane;
  const int16_t* const planes[3] = {red, green, blue};
  for (int y = 0; y < height; ++y, pixels += stride, out += 3 * static_cast<size_t>(out_width)) {
    for (size_t x = 0; x < static_cast<size_t>(width); ++x) {
      red[x] = pixels[3 * x];
      green[x] = pixels[3 * x + 1];
      blue[x] = pixels[3 * x + 2];
    }
    resize(planes, taps, out);
  }
}

// (height, row_size) to (out_height, row_size); the bytes of a row do not mix.
void resize_columns(const uint8_t* rows, int height, size_t row_size, int out_height, uint8_t* out) {
  const Taps taps(height, out_height);
  std::vector<int32_t> sums(row_size);
  for (int y = 0; y < out_height; ++y, out += row_size) {
    const uint8_t* row = rows + taps.first[static_cast<size_t>(y)] * row_size;
    const int32_t* weights = &taps.weights[static_cast<size_t>(y) * taps.count];
    std::fill(sums.begin(), sums.end(), 1 << (kWeightBits - 1));
    for (size_t tap = 0; tap < taps.count; ++tap) {  // a weight of 0 may lie outside of the image
      if (weights[tap] != 0) add_weighted(weights[tap], row + tap * row_size, row_size, sums.data());
    }
    std::transform(sums.begin(), sums.end(), out, rounded_down);
  }
}

void require_sizes(int width, int height, size_t stride, int out_width, int out_height) {
  const auto side = [](int length) { return length >= 1 && length <= kMaxSide; };
  if (!side(width) || !side(height) || static_cast<int64_t>(width) * height > kMaxPixels) {
    throw Error(CFACK_ERROR_INVALID, "an image of " + std::to_string(width) + " x " + std::to_string(height) +
                                         " pixels cannot be resized; at most " + std::to_string(kMaxPixels) +
                                         " pixels and " + std::to_string(kMaxSide) + " a side are taken");
  }
  if (!side(out_width) || !side(out_height)) {
    throw Error(CFACK_ERROR_INVALID, "cannot resize to " + std::to_string(out_width) + " x " +
                                         std::to_string(out_height) + " pixels; 1 to " + std::to_string(kMaxSide) +
                                         " a side are possible");
  }
  if (stride < 3 * static_cast<size_t>(width)) {
    throw Error(CFACK_ERROR_INVALID, "rows are " + std::to_string(stride) + " bytes apart; " + std::to_string(width) +
                                         " RGB pixels take " + std::to_string(3 * static_cast<size_t>(width)));
  }
}

}  // namespace

void resize_rgb(const uint8_t* pixels, int width, int height, size_t stride, int out_width, int out_height,
                uint8_t* out) {
  require_sizes(width, height, stride, out_width, out_height);
  const size_t row_size = 3 * static_cast<size_t>(out_width);
  std::vector<uint8_t> wide;
  const bool same_height = height == out_height;
  if (!same_height) wide.resize(row_size * static_cast<size_t>(height));
  uint8_t* rows = same_height ? out : wide.data();
  if (width == out_width) {  // a pass that would change nothing
    for (size_t y = 0; y < static_cast<size_t>(height); ++y) {
      std::copy_n(pixels + y * stride, row_size, rows + y * row_size);
    }
  } else {
    resize_rows(pixels, width, height, stride, out_width, rows);
  }
  if (!same_height) resize_columns(rows, height, row_size, out_height, out);
}

}  // namespace cfack
