// Any bytes as a tokenizer.json: a named error, or a tokenizer that works.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "error.h"
#include "tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string_view json(reinterpret_cast<const char*>(data), size);
    const cfack::Tokenizer tokenizer = cfack::Tokenizer::from_json(json, 8, "tokenizer.json");
    std::vector<int64_t> ids;
    cfack::TokenizerMemory memory;
    tokenizer.encode("A man [SEP] in a r\xC3\xA9""d coat", ids, memory, false);
    if (ids.size() < 2 || ids.size() > 8) std::abort();
  } catch (const cfack::Error& error) {
    if (error.code() != CFACK_ERROR_BUNDLE) std::abort();
  }
  return 0;
}
