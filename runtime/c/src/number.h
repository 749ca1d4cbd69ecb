// Numbers as Python has them: whole ones of up to 30 digits, exactly, and 64-bit floats.
#pragma once

#include <string_view>

namespace cfack {

__extension__ using WideInteger = __int128;  // holds 30 digits

struct Number {
  bool whole = true;
  WideInteger integer = 0;
  double real = 0;
};

// Read what JSON or a filter has accepted as a number: no sign but "-", a fraction or exponent makes a float.
Number parse_number(std::string_view text);

// -1, 0 or 1, without rounding either.
int compare(const Number& a, const Number& b);

}  // namespace cfack
