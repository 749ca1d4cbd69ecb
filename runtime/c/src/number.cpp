#include "number.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace cfack {
namespace {

constexpr double kBeyondWide = 0x1p126;  // above any number of 30 digits, below the type's end

template <typename T>
int order(T a, T b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

int compare_mixed(WideInteger whole, double real) {
  if (real >= kBeyondWide) return -1;
  if (real <= -kBeyondWide) return 1;
  const double floor = std::floor(real);
  const int low = order(whole, static_cast<WideInteger>(floor));
  return low != 0 ? low : real > floor ? -1 : 0;
}

}  // namespace

Number parse_number(std::string_view text) {
  Number number;
  number.whole = text.find_first_of(".eE") == std::string_view::npos;
  if (!number.whole) {
    const auto result = std::from_chars(text.data(), text.data() + text.size(), number.real);
    // Too large was refused before; what is too small to be told from zero is zero.
    if (result.ec == std::errc::result_out_of_range) number.real = text[0] == '-' ? -0.0 : 0.0;
    return number;
  }
  const bool negative = text[0] == '-';
  for (const char digit : text.substr(negative ? 1 : 0)) number.integer = number.integer * 10 + (digit - '0');
  if (negative) number.integer = -number.integer;
  return number;
}

int compare(const Number& a, const Number& b) {
  if (a.whole && b.whole) return order(a.integer, b.integer);
  if (!a.whole && !b.whole) return order(a.real, b.real);
  return a.whole ? compare_mixed(a.integer, b.real) : -compare_mixed(b.integer, a.real);
}

}  // namespace cfack
