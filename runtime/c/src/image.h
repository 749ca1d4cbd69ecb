// From a file's bytes, or raw pixels, to the pixels that the image encoder takes: the rule `squash-bicubic-1`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cfack {

// As in Python: a quarter GiB of RGB, and JPEG's longest side.
constexpr int64_t kMaxPixels = 89'478'485;
constexpr int kMaxSide = 65'535;

// Upright RGB, 8 bits a channel, rows without gaps.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;
};

// Decodes a JPEG or PNG. The EXIF orientation is applied, transparency is dropped (the colours below it stay),
// 16 bits keep their upper 8, the first frame of an animation is taken. `name` begins every message. Throws
// CFACK_ERROR_IMAGE: damaged, of another kind, or larger than the limits above.
Image decode_image(const uint8_t* data, size_t size, const std::string& name);

// Squashes RGB pixels to a size, whatever the aspect: bicubic with antialiasing, the width first and then the
// height, rounded to 8 bits between. Rows are `stride` bytes apart. Writes out_height * out_width * 3 bytes.
// Throws CFACK_ERROR_INVALID: a side below 1 or over the limits, or a stride below 3 * width.
void resize_rgb(const uint8_t* pixels, int width, int height, size_t stride, int out_width, int out_height,
                uint8_t* out);

}  // namespace cfack
