// Patterns of file names, as Python's fnmatch understands them: * ? [a-z] [!a-z].
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace cfack {

class Pattern {
 public:
  explicit Pattern(std::string_view utf8);
  // Whether the whole text fits, upper and lower case told apart.
  bool matches(std::string_view utf8) const;

 private:
  struct Part {
    enum class Kind { kAnything, kSet } kind = Kind::kSet;
    bool negated = false;
    std::vector<std::pair<char32_t, char32_t>> ranges;  // both ends included

    bool takes(char32_t code) const;
  };

  // Read a set whose "[" is at `start`; returns where it ends, or npos if it is not closed.
  size_t read_set(std::u32string_view text, size_t start);

  std::vector<Part> parts_;
};

}  // namespace cfack
