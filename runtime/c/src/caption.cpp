#include "caption.h"

#include <algorithm>

#include "error.h"
#include "unicode.h"

namespace cfack {
namespace {

constexpr std::u32string_view kToSpace = U",.'!?\"()*#:;~-/";
constexpr std::u32string_view kPersonTag = U"<person>";

void replace_person_tags(std::u32string& text) {
  size_t to = text.find(kPersonTag);
  if (to == std::u32string::npos) return;
  size_t from = to;
  while (from < text.size()) {
    if (text.compare(from, kPersonTag.size(), kPersonTag) == 0) {
      for (size_t letter = 1; letter + 1 < kPersonTag.size(); ++letter) text[to++] = kPersonTag[letter];
      from += kPersonTag.size();
    } else {
      text[to++] = text[from++];
    }
  }
  text.resize(to);
}

// Two or more white-space characters become one space; a single one stays what it is.
void shrink_runs_of_space(std::u32string& text) {
  size_t to = 0;
  for (size_t from = 0; from < text.size();) {
    size_t end = from;
    while (end < text.size() && is_space_to_python(text[end])) ++end;
    if (end - from >= 2) {
      text[to++] = U' ';
      from = end;
    } else {
      text[to++] = text[from++];
    }
  }
  text.resize(to);
}

std::u32string_view stripped(std::u32string_view text) {
  while (!text.empty() && text.back() == U'\n') text.remove_suffix(1);
  while (!text.empty() && text.back() == U' ') text.remove_suffix(1);
  while (!text.empty() && text.front() == U' ') text.remove_prefix(1);
  return text;
}

std::u32string_view first_words(std::u32string_view text, int max_words) {
  int words = 1;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == U' ' && ++words > max_words) return text.substr(0, at);
  }
  return text;
}

// Python's repr of what can be left of an empty caption: punctuation and white space.
std::string quoted(std::u32string_view text) {
  static const char digits[] = "0123456789abcdef";
  const bool has_single = text.find(U'\'') != text.npos;
  const char quote = has_single && text.find(U'"') == text.npos ? '"' : '\'';
  std::string out(1, quote);
  for (const char32_t code : text) {
    if (code == static_cast<unsigned char>(quote)) {
      out += '\\';
      out += quote;
    } else if (code == U'\t' || code == U'\n' || code == U'\r') {
      out += code == U'\t' ? "\\t" : code == U'\n' ? "\\n" : "\\r";
    } else if (code >= 0x20 && code < 0x7F) {
      out += static_cast<char>(code);
    } else {
      out += code < 0x100 ? "\\x" : "\\u";
      for (int shift = code < 0x100 ? 4 : 12; shift >= 0; shift -= 4) out += digits[(code >> shift) & 15];
    }
  }
  return out + quote;
}

}  // namespace

std::u32string_view normalize_caption(std::u32string_view caption, int max_words, std::u32string& memory) {
  lower_as_python(caption, memory);
  for (char32_t& code : memory) {
    if (kToSpace.find(code) != kToSpace.npos) code = U' ';
  }
  replace_person_tags(memory);
  shrink_runs_of_space(memory);
  const std::u32string_view cleaned = stripped(memory);
  if (std::all_of(cleaned.begin(), cleaned.end(), is_space_to_python)) {
    throw Error(CFACK_ERROR_DATA, "caption " + quoted(caption) +
                                      " is empty once punctuation and white space are taken away; "
                                      "give a sentence that describes a person");
  }
  return first_words(cleaned, max_words);
}

std::string normalize_caption(std::string_view utf8, int max_words) {
  std::u32string memory;
  return encode_utf8(normalize_caption(decode_utf8(utf8), max_words, memory));
}

}  // namespace cfack
