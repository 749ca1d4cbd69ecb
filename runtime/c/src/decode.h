// What the JPEG and the PNG reader share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "image.h"

namespace cfack {

struct Bytes {
  const uint8_t* data = nullptr;
  size_t size = 0;

  bool starts_with(const char* prefix, size_t length) const;
  Bytes from(size_t offset) const { return {data + offset, size - offset}; }
};

// The reader of one kind of file. Returns the image as it lies; `orientation` is 1 to 8 (EXIF).
Image decode_jpeg(Bytes file, const std::string& name, int& orientation);
Image decode_png(Bytes file, const std::string& name, int& orientation);

// Throws CFACK_ERROR_IMAGE if an image of this size is empty or too large to decode safely.
void require_decodable(uint64_t width, uint64_t height, const std::string& name);
[[noreturn]] void refuse_damaged(const std::string& name, const std::string& reason);

// Turns an image with this orientation upright.
Image upright(Image image, int orientation);

}  // namespace cfack
