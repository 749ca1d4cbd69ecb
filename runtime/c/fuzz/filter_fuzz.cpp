// Filters and the patterns in them: any bytes are understood, or an error of their kind.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "error.h"
#include "filters.h"
#include "pattern.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    cfack::parse_filter(text);
  } catch (const cfack::Error& error) {
    if (error.code() != CFACK_ERROR_INVALID) std::abort();
  }
  try {
    cfack::Pattern(text).matches(text);
  } catch (const cfack::Error& error) {
    if (error.code() != CFACK_ERROR_DATA) std::abort();
  }
  return 0;
}
