// Tokens of images and texts, in the types that graphs and galleries have them in.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend.h"

namespace cfack {

// float32 and float16, to either.
void convert_tokens(const void* from, DType from_type, void* to, DType to_type, size_t count);

// Write each token as whole numbers from -127 to 127 and one scale, its largest magnitude / 127; halves are rounded to
// even. A token of zeros has scale 0. Returns false if a token is not finite.
bool quantize_tokens(const float* tokens, size_t rows, size_t width, int8_t* numbers, float* scales);

// Undo it as far as that is possible: number x scale in float32, then rounded to `type`, float32 or float16.
void dequantize_tokens(const int8_t* numbers, const float* scales, size_t rows, size_t width, DType type, void* out);

}  // namespace cfack
