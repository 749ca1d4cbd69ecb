#include "image_fuzz.h"

// Larger pictures only slow the fuzzer. The first frame header says the size, if it is where encoders put it.
static bool is_small(const uint8_t* data, size_t size) {
  for (size_t at = 2; at + 9 < size; ++at) {
    const bool frame = data[at] == 0xFF && data[at + 1] >= 0xC0 && data[at + 1] <= 0xCF && data[at + 1] != 0xC4;
    if (frame && (data[at + 5] > 1 || data[at + 7] > 1)) return false;
  }
  return true;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return is_small(data, size) ? decode_and_resize(data, size) : 0;
}
