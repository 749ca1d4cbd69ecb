// Any bytes as an image: a named error, or pixels that can be resized.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "error.h"
#include "image.h"

inline int decode_and_resize(const uint8_t* data, size_t size) {
  try {
    const cfack::Image image = cfack::decode_image(data, size, "a file");
    if (image.pixels.size() != 3 * static_cast<size_t>(image.width) * static_cast<size_t>(image.height)) std::abort();
    std::vector<uint8_t> out(3 * 5 * 7);
    cfack::resize_rgb(image.pixels.data(), image.width, image.height, 3 * static_cast<size_t>(image.width), 5, 7,
                      out.data());
  } catch (const cfack::Error& error) {
    if (error.code() != CFACK_ERROR_IMAGE) std::abort();
  }
  return 0;
}
