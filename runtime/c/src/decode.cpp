#include "decode.h"

#include <cstring>
#include <utility>

#include "error.h"

namespace cfack {
namespace {

struct Signature {
  const char* bytes;
  size_t length;
  const char* kind;
};

// Only to say what a file is.
constexpr Signature kOtherKinds[] = {
    {"BM", 2, "a BMP"},
    {"GIF8", 4, "a GIF"},
    {"II*\0", 4, "a TIFF"},
    {"MM\0*", 4, "a TIFF"},
    {"\0\0\0\x0CjP  ", 8, "a JPEG 2000"},
};

const char* other_kind(Bytes file) {
  if (file.starts_with("RIFF", 4) && file.size >= 12 && std::memcmp(file.data + 8, "WEBP", 4) == 0) return "a WebP";
  if (file.size >= 12 && std::memcmp(file.data + 4, "ftyp", 4) == 0) return "a HEIF or AVIF";
  for (const Signature& other : kOtherKinds) {
    if (file.starts_with(other.bytes, other.length)) return other.kind;
  }
  return nullptr;
}

}  // namespace

bool Bytes::starts_with(const char* prefix, size_t length) const {
  return size >= length && std::memcmp(data, prefix, length) == 0;
}

void require_decodable(uint64_t width, uint64_t height, const std::string& name) {
  if (width == 0 || height == 0) refuse_damaged(name, "it has no pixels");
  constexpr uint64_t kMost = kMaxSide;
  if (width > kMost || height > kMost || width * height > static_cast<uint64_t>(kMaxPixels)) {
    throw Error(CFACK_ERROR_IMAGE, name + ": too large to decode safely: " + std::to_string(width) + " x " +
                                       std::to_string(height) + " pixels. At most " + std::to_string(kMaxPixels) +
                                       " pixels and " + std::to_string(kMaxSide) +
                                       " a side are read; make it smaller first");
  }
}

void refuse_damaged(const std::string& name, const std::string& reason) {
  throw Error(CFACK_ERROR_IMAGE, name + ": cannot be decoded, the file is damaged: " + reason);
}

Image upright(Image image, int orientation) {
  if (orientation < 2 || orientation > 8) return image;
  const bool sideways = orientation >= 5;
  Image turned;
  turned.width = sideways ? image.height : image.width;
  turned.height = sideways ? image.width : image.height;
  turned.pixels.resize(image.pixels.size());
  // Where the upper left pixel comes from, and the steps to its neighbours on the right and below.
  const std::ptrdiff_t column = 3, row = 3 * static_cast<std::ptrdiff_t>(image.width);
  const std::ptrdiff_t last_column = column * (image.width - 1), last_row = row * (image.height - 1);
  std::ptrdiff_t from = 0, right = column, below = row;
  switch (orientation) {
    case 2: from = last_column, right = -column; break;
    case 3: from = last_row + last_column, right = -column, below = -row; break;
    case 4: from = last_row, below = -row; break;
    case 5: right = row, below = column; break;
    case 6: from = last_row, right = -row, below = column; break;
    case 7: from = last_row + last_column, right = -row, below = -column; break;
    default: from = last_column, right = row, below = -column; break;
  }
  uint8_t* to = turned.pixels.data();
  for (int y = 0; y < turned.height; ++y) {
    const uint8_t* pixel = image.pixels.data() + from + y * below;
    for (int x = 0; x < turned.width; ++x, to += 3) {
      const uint8_t* source = pixel + x * right;
      to[0] = source[0];
      to[1] = source[1];
      to[2] = source[2];
    }
  }
  return turned;
}

Image decode_image(const uint8_t* data, size_t size, const std::string& name) {
  const Bytes file{data, size};
  int orientation = 1;
  if (file.starts_with("\xFF\xD8\xFF", 3)) {
    Image image = decode_jpeg(file, name, orientation);
    return upright(std::move(image), orientation);
  }
  if (file.starts_with("\x89PNG\r\n\x1A\n", 8)) {
    Image image = decode_png(file, name, orientation);
    return upright(std::move(image), orientation);
  }
  const char* kind = other_kind(file);
  throw Error(CFACK_ERROR_IMAGE, kind ? name + ": is " + kind + " image; JPEG and PNG are supported, convert it"
                                      : name + ": not a JPEG or PNG image");
}

}  // namespace cfack
