// Which images a search may find: conditions on their metadata. docs/gallery.md has the language, and Python the same
// rules: an image without a field fulfils no comparison with it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cfack {

class Gallery;

// A value of metadata as it is compared; `text` is also what a number was written as.
struct Scalar {
  enum class Kind { kBoolean, kNumber, kText };

  Kind kind = Kind::kText;
  std::string text;
  bool boolean = false;
};

// A sentence as a tree.
struct Condition {
  enum class Kind { kCompare, kAll, kAny, kNot };

  Kind kind = Kind::kCompare;
  std::vector<Condition> parts;  // one of kNot
  std::string field;
  std::string op;  // = != < <= > >= ~
  std::string value;
  bool quoted = false;  // the value is text, whatever it looks like
};

// Understand a sentence. Throws Error(CFACK_ERROR_INVALID) that shows the place.
Condition parse_filter(std::string_view utf8);

// Places in the gallery of the images that fulfil a sentence, ascending.
// Throws Error(CFACK_ERROR_INVALID) also if no image has one of its fields.
std::vector<uint64_t> select_images(const Gallery& gallery, std::string_view filter);

}  // namespace cfack
