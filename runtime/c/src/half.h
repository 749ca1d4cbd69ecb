// 16-bit floats, as NumPy converts them: to the nearest, ties to even.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cfack {

void half_to_float(const uint16_t* from, float* to, size_t count);

// Returns whether all results are finite.
bool float_to_half(const float* from, uint16_t* to, size_t count);

// value = int8 x scale, one scale for each row of `width`.
void int8_to_float(const int8_t* from, const float* scales, float* to, size_t rows, size_t width);

}  // namespace cfack
