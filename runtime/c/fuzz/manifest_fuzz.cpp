// libFuzzer: any bytes as manifest.json give a manifest or an Error.
#include <cstddef>
#include <cstdint>

#include "error.h"
#include "manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    cfack::parse_manifest({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const cfack::Error&) {
  }
  return 0;
}
