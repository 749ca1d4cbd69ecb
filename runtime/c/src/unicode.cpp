#include "unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "error.h"

namespace cfack {
namespace {

struct Range {
  char32_t first, last;
};
struct ClassRange {
  char32_t first, last;
  int combining_class;
};
struct Mapping {
  char32_t first, lower;
};

#include "unicode_tables.inc"

// The last entry that begins at or before `code`, or null.
template <typename Entry, size_t N>
const Entry* entry_before(const Entry (&table)[N], char32_t code) {
  const Entry* after = std::upper_bound(std::begin(table), std::end(table), code,
                                        [](char32_t c, const Entry& entry) { return c < entry.first; });
  return after == std::begin(table) ? nullptr : after - 1;
}

template <typename Entry, size_t N>
const Entry* find_range(const Entry (&table)[N], char32_t code) {
  const Entry* entry = entry_before(table, code);
  return entry && code <= entry->last ? entry : nullptr;
}

utf8proc_category_t category(char32_t code) { return utf8proc_category(static_cast<utf8proc_int32_t>(code)); }

int combining_class(char32_t code) {
  if (code < 0x300) return 0;
  if (const ClassRange* range = find_range(kCombiningClass, code)) return range->combining_class;
  return utf8proc_get_property(static_cast<utf8proc_int32_t>(code))->combining_class;
}

char32_t simple_lower(char32_t code) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
}

constexpr char32_t kCapitalIWithDot = 0x130;  // the one letter whose lower case is two code points
constexpr char32_t kDotAbove = 0x307;
constexpr char32_t kCapitalSigma = 0x3A3;

bool is_case_ignorable(char32_t code) {
  if (find_range(kCaseIgnorable, code)) return true;
  if (find_range(kNotCaseIgnorable, code)) return false;
  switch (category(code)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return false;
  }
}

bool is_cased(char32_t code) {
  if (find_range(kCased, code)) return true;
  if (find_range(kNotCased, code)) return false;
  const utf8proc_category_t of = category(code);
  return of == UTF8PROC_CATEGORY_LU || of == UTF8PROC_CATEGORY_LL || of == UTF8PROC_CATEGORY_LT;
}

// Unicode's Final_Sigma: a cased letter before and none after, case-ignorable ones skipped.
bool is_final_sigma(std::u32string_view text, size_t at) {
  const auto before = std::find_if_not(text.rbegin() + static_cast<std::ptrdiff_t>(text.size() - at), text.rend(),
                                       is_case_ignorable);
  if (before == text.rend() || !is_cased(*before)) return false;
  const auto after =
      std::find_if_not(text.begin() + static_cast<std::ptrdiff_t>(at) + 1, text.end(), is_case_ignorable);
  return after == text.end() || !is_cased(*after);
}

[[noreturn]] void refuse_utf8(std::string_view utf8, size_t at) {
  static const char digits[] = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(utf8[at]);
  throw Error(CFACK_ERROR_DATA, std::string("not valid UTF-8: byte 0x") + digits[byte >> 4] + digits[byte & 15] +
                                    " at position " + std::to_string(at) + "; give the text in UTF-8");
}

}  // namespace

std::u32string decode_utf8(std::string_view utf8) {
  std::u32string text;
  decode_utf8(utf8, text);
  return text;
}

void decode_utf8(std::string_view utf8, std::u32string& out) {
  out.clear();
  out.reserve(utf8.size());
  for (size_t at = 0; at < utf8.size();) {
    const auto lead = static_cast<unsigned char>(utf8[at]);
    if (lead < 0x80) {
      out.push_back(lead);
      ++at;
      continue;
    }
    utf8proc_int32_t code = -1;
    const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(utf8.data() + at);
    const auto left = static_cast<utf8proc_ssize_t>(std::min<size_t>(utf8.size() - at, 4));
    const utf8proc_ssize_t used = utf8proc_iterate(bytes, left, &code);
    if (used <= 0 || code < 0) refuse_utf8(utf8, at);
    out.push_back(static_cast<char32_t>(code));
    at += static_cast<size_t>(used);
  }
}

void append_utf8(std::string& out, char32_t code) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t count = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(count));
}

std::string encode_utf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char32_t code : text) append_utf8(out, code);
  return out;
}

void require_unicode_tables() {
  const char* found = utf8proc_unicode_version();
  if (std::strcmp(found, kUnicodeVersion) != 0) {
    throw Error(CFACK_ERROR_INTERNAL, std::string("utf8proc knows Unicode ") + found + ", this library was built for " +
                                          kUnicodeVersion + "; load utf8proc 2.8, or run tools/make_unicode_tables.py "
                                          "and build again");
  }
}

void lower_as_python(std::u32string_view text, std::u32string& out) {
  out.clear();
  out.reserve(text.size());
  for (size_t at = 0; at < text.size(); ++at) {
    const char32_t code = text[at];
    if (code == kCapitalSigma) {
      out.push_back(is_final_sigma(text, at) ? U'\u03C2' : U'\u03C3');
    } else if (code == kCapitalIWithDot) {
      out.push_back(U'i');
      out.push_back(kDotAbove);
    } else {
      out.push_back(simple_lower(code));
    }
  }
}

bool is_space_to_python(char32_t code) { return is_space(code) || (code >= 0x1C && code <= 0x1F); }

void append_lower(std::u32string& out, char32_t code) {
  if (code == kCapitalIWithDot) {
    out.push_back(U'i');
    out.push_back(kDotAbove);
    return;
  }
  const Mapping* mapping = code < 0x80 ? nullptr : entry_before(kLower, code);
  out.push_back(mapping && mapping->first == code ? mapping->lower : simple_lower(code));
}

bool is_space(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 || code == 0x1680 ||
         (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F ||
         code == 0x205F || code == 0x3000;
}

bool is_other(char32_t code) {
  if (code >= 0x20 && code < 0x7F) return false;
  const utf8proc_category_t of = category(code);
  return (of == UTF8PROC_CATEGORY_CC || of == UTF8PROC_CATEGORY_CF || of == UTF8PROC_CATEGORY_CO) &&
         !find_range(kNotOther, code);
}

bool is_mark(char32_t code) {
  if (code < 0x300) return false;
  return category(code) == UTF8PROC_CATEGORY_MN ? !find_range(kNotMark, code) : find_range(kMark, code) != nullptr;
}

bool is_punctuation(char32_t code) {
  if (code < 0x80) {
    return (code >= 0x21 && code <= 0x2F) || (code >= 0x3A && code <= 0x40) || (code >= 0x5B && code <= 0x60) ||
           (code >= 0x7B && code <= 0x7E);
  }
  const utf8proc_category_t of = category(code);
  return of >= UTF8PROC_CATEGORY_PC && of <= UTF8PROC_CATEGORY_PO ? !find_range(kNotPunctuation, code)
                                                                  : find_range(kPunctuation, code) != nullptr;
}

bool is_chinese(char32_t code) {
  if (code < 0x3400) return false;
  return code <= 0x4DBF || (code >= 0x4E00 && code <= 0x9FFF) || (code >= 0xF900 && code <= 0xFAFF) ||
         (code >= 0x20000 && code <= 0x2A6DF) || (code >= 0x2A700 && code <= 0x2B81F) ||
         (code >= 0x2B920 && code <= 0x2CEAF) || (code >= 0x2F800 && code <= 0x2FA1F);
}

void decompose(std::u32string_view text, std::u32string& out) {
  out.clear();
  out.reserve(text.size());
  for (const char32_t code : text) {
    if (code < 0xC0 || find_range(kNotDecomposed, code)) {
      out.push_back(code);
      continue;
    }
    utf8proc_int32_t parts[8];  // the longest canonical decomposition has 4
    int boundary = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), parts, 8,
                                                           UTF8PROC_DECOMPOSE, &boundary);
    if (count < 1 || count > 8) throw Error(CFACK_ERROR_INTERNAL, "utf8proc cannot decompose a code point");
    for (utf8proc_ssize_t part = 0; part < count; ++part) out.push_back(static_cast<char32_t>(parts[part]));
  }
  // Runs of marks into the order of their classes. Stable, and no quadratic time on a text of marks only.
  for (auto at = out.begin(); at != out.end();) {
    if (combining_class(*at) == 0) {
      ++at;
      continue;
    }
    const auto end = std::find_if(at, out.end(), [](char32_t code) { return combining_class(code) == 0; });
    if (end - at > 1) {
      std::stable_sort(at, end, [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
    }
    at = end;
  }
}

}  // namespace cfack
