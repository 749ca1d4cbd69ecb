#include "pattern.h"

#include <algorithm>
#include <string>

#include "unicode.h"

namespace cfack {
namespace {

constexpr char32_t kLast = 0x10FFFF;

}  // namespace

bool Pattern::Part::takes(char32_t code) const {
  const bool inside = std::any_of(ranges.begin(), ranges.end(),
                                  [code](const auto& range) { return range.first <= code && code <= range.second; });
  return inside != negated;
}

Pattern::Pattern(std::string_view utf8) {
  const std::u32string text = decode_utf8(utf8);
  for (size_t at = 0; at < text.size();) {
    if (text[at] == U'[') {
      const size_t end = read_set(text, at);
      if (end != std::u32string::npos) {
        at = end;
        continue;
      }
    }
    Part part;
    if (text[at] == U'*') {
      part.kind = Part::Kind::kAnything;
    } else if (text[at] == U'?') {
      part.ranges.emplace_back(0, kLast);
    } else {
      part.ranges.emplace_back(text[at], text[at]);
    }
    parts_.push_back(std::move(part));
    ++at;
  }
}

size_t Pattern::read_set(std::u32string_view text, size_t start) {
  const size_t first = start + 1;
  const bool marked = first < text.size() && text[first] == U'!';
  // A bracket in the first place is a member.
  size_t at = first + (marked ? 1 : 0);
  const size_t end = text.find(U']', at < text.size() && text[at] == U']' ? at + 1 : at);
  if (end == std::u32string_view::npos) return end;
  Part part;
  auto& ranges = part.ranges;
  if (marked) ranges.emplace_back(U'!', U'!');
  while (at < end) {
    const bool is_range = at + 2 < end && text[at + 1] == U'-';
    const char32_t low = text[at], high = is_range ? text[at + 2] : low;
    if (low <= high) ranges.emplace_back(low, high);  // one that runs backwards holds nothing
    at += is_range ? 3 : 1;
  }
  // Python looks for the mark in what is left, so that it may have stood behind ranges that hold nothing.
  part.negated = !ranges.empty() && ranges[0].first == U'!';
  if (part.negated) {
    const char32_t high = ranges[0].second;
    ranges.erase(ranges.begin());
    if (high != U'!') ranges.insert(ranges.end(), {{U'-', U'-'}, {high, high}});
  }
  parts_.push_back(std::move(part));
  return end + 1;
}

bool Pattern::matches(std::string_view utf8) const {
  const std::u32string text = decode_utf8(utf8);
  // Where a mismatch leads: behind the last *, with one more character given to it.
  size_t part = 0, at = 0, star = parts_.size(), resume = 0;
  while (at < text.size()) {
    if (part < parts_.size() && parts_[part].kind == Part::Kind::kAnything) {
      star = part++;
      resume = at;
    } else if (part < parts_.size() && parts_[part].takes(text[at])) {
      ++part;
      ++at;
    } else if (star != parts_.size()) {
      part = star + 1;
      at = ++resume;
    } else {
      return false;
    }
  }
  while (part < parts_.size() && parts_[part].kind == Part::Kind::kAnything) ++part;
  return part == parts_.size();
}

}  // namespace cfack
