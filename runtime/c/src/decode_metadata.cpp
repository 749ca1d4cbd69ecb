#include "decode_metadata.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace cfack {
namespace {

constexpr int kUpright = 1;
constexpr uint64_t kOrientationTag = 0x0112;

// Numbers in the byte order of a TIFF file.
class Tiff {
 public:
  explicit Tiff(std::string_view bytes) : bytes_(bytes), big_endian_(bytes.substr(0, 1) == "M") {}

  // False where the bytes end before.
  bool read(uint64_t offset, size_t size, uint64_t& value) const {
    if (offset > bytes_.size() || bytes_.size() - offset < size) return false;
    value = 0;
    for (size_t i = 0; i < size; ++i) {
      const size_t at = static_cast<size_t>(offset) + (big_endian_ ? i : size - 1 - i);
      value = value << 8 | static_cast<uint8_t>(bytes_[at]);
    }
    return true;
  }

  uint64_t size() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
  bool big_endian_;
};

size_t size_of_type(uint64_t type) {
  static const uint8_t sizes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8};
  return type < sizeof sizes ? sizes[type] : 0;
}

int64_t as_signed(uint64_t value, size_t size) {
  const unsigned unused = 64 - 8 * static_cast<unsigned>(size);
  return static_cast<int64_t>(value << unused) >> unused;
}

int checked(int64_t value) { return value >= 1 && value <= 8 ? static_cast<int>(value) : kUpright; }

// Cameras write a SHORT; any other number with the value of an orientation is taken too.
int orientation_value(const Tiff& tiff, uint64_t type, uint64_t offset) {
  const size_t size = size_of_type(type);
  uint64_t value = 0;
  if (!tiff.read(offset, size, value)) return kUpright;
  switch (type) {
    case 3:    // SHORT
    case 4:    // LONG
    case 13:   // IFD
    case 16:   // LONG8
      return value <= 8 ? checked(static_cast<int64_t>(value)) : kUpright;
    case 6:    // SBYTE
    case 8:    // SSHORT
    case 9:    // SLONG
      return checked(as_signed(value, size));
    case 5:    // RATIONAL
    case 10: {  // SRATIONAL
      uint64_t top = 0, bottom = 0;
      if (!tiff.read(offset, 4, top) || !tiff.read(offset + 4, 4, bottom) || bottom == 0) return kUpright;
      const int64_t numerator = type == 10 ? as_signed(top, 4) : static_cast<int64_t>(top);
      const int64_t denominator = type == 10 ? as_signed(bottom, 4) : static_cast<int64_t>(bottom);
      return numerator % denominator == 0 ? checked(numerator / denominator) : kUpright;
    }
    case 11:    // FLOAT
    case 12: {  // DOUBLE
      double number = 0;
      if (size == 4) {
        const auto bits = static_cast<uint32_t>(value);
        float single = 0;
        std::memcpy(&single, &bits, sizeof single);
        number = single;
      } else {
        std::memcpy(&number, &value, sizeof number);
      }
      return number >= 1 && number <= 8 && std::floor(number) == number ? static_cast<int>(number) : kUpright;
    }
    default:  // text and bytes
      return kUpright;
  }
}

enum class Found { kYes, kNo, kBroken };

Found read_exif(std::string_view bytes, int& orientation) {
  static constexpr std::string_view kPrefix("Exif\0\0", 6);
  for (int times = 0; times < 2 && bytes.substr(0, kPrefix.size()) == kPrefix; ++times) {
    bytes.remove_prefix(kPrefix.size());
  }
  if (bytes.empty()) return Found::kNo;
  const std::string_view head = bytes.substr(0, 4);
  static constexpr std::string_view kHeads[] = {{"MM\0\x2A", 4}, {"II\x2A\0", 4}, {"MM\x2A\0", 4},
                                                {"II\0\x2A", 4}, {"MM\0\x2B", 4}};
  bool known = false;
  for (const std::string_view one : kHeads) known = known || head == one;
  const Tiff tiff(bytes);
  uint64_t directory = 0, count = 0;
  if (!known || !tiff.read(4, 4, directory)) return Found::kBroken;
  if (!tiff.read(directory, 2, count)) return Found::kNo;
  uint64_t outside = 0;  // bytes of values that do not fit into their entry
  for (uint64_t entry = directory + 2; count > 0; --count, entry += 12) {
    uint64_t tag = 0, type = 0, values = 0, offset = 0;
    if (!tiff.read(entry, 2, tag) || !tiff.read(entry + 2, 2, type) || !tiff.read(entry + 4, 4, values) ||
        !tiff.read(entry + 8, 4, offset)) {
      return Found::kNo;
    }
    const uint64_t size = values * size_of_type(type);
    if (size == 0) continue;
    if (size <= 4) {
      offset = entry + 8;
    } else {
      outside += size;
      if (outside > tiff.size()) continue;  // a lie: the entry is skipped
      if (offset > tiff.size() || tiff.size() - offset < size) return Found::kNo;  // the rest is not read
    }
    if (tag == kOrientationTag) {
      orientation = orientation_value(tiff, type, offset);
      return Found::kYes;
    }
  }
  return Found::kNo;
}

Found read_hex_exif(std::string_view text, int& orientation) {
  for (int line = 0; line < 3; ++line) {  // an empty line, the name, the length
    const size_t end = text.find('\n');
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
  }
  std::string bytes;
  int high = -1;
  for (const char letter : text) {
    if (letter == '\n' || (high < 0 && (letter == ' ' || (letter >= '\t' && letter <= '\r')))) continue;
    int digit;
    if (letter >= '0' && letter <= '9') digit = letter - '0';
    else if (letter >= 'a' && letter <= 'f') digit = letter - 'a' + 10;
    else if (letter >= 'A' && letter <= 'F') digit = letter - 'A' + 10;
    else return Found::kBroken;
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<char>(high << 4 | digit));
      high = -1;
    }
  }
  return high < 0 ? read_exif(bytes, orientation) : Found::kBroken;
}

int read_xmp(std::string_view xmp) {
  static constexpr std::string_view kName("tiff:Orientation");
  for (size_t at = xmp.find(kName); at != xmp.npos; at = xmp.find(kName, at + 1)) {
    std::string_view rest = xmp.substr(at + kName.size());
    if (rest.substr(0, 2) == "=\"") rest.remove_prefix(2);
    else if (rest.substr(0, 1) == ">") rest.remove_prefix(1);
    else continue;
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return checked(rest[0] - '0');
  }
  return kUpright;
}

}  // namespace

int read_orientation(const Metadata& metadata) {
  int orientation = kUpright;
  Found found = Found::kNo;
  if (metadata.exif_is_unreadable) found = Found::kBroken;
  else if (metadata.exif) found = read_exif(*metadata.exif, orientation);
  else if (metadata.hex_exif) found = read_hex_exif(*metadata.hex_exif, orientation);
  return found == Found::kNo ? read_xmp(metadata.xmp) : orientation;
}

}  // namespace cfack
