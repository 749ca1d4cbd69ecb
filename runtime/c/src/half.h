// 16-bit floats, as NumPy converts them: to the nearest, ties to even.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cfack {

void half_to_float(const uint16_t* from, float* to, size_t count);

// What is too large becomes infinite.
void float_to_half(const float* from, uint16_t* to, size_t count);

bool all_finite(const float* values, size_t count);
bool all_finite(const uint16_t* halves, size_t count);

}  // namespace cfack
