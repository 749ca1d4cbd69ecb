// Any bytes as a caption: a named error, or ids within the promised bounds.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "error.h"
#include "tokenizer.h"

namespace {

const cfack::Tokenizer& tokenizer() {
  static const cfack::Tokenizer made = cfack::Tokenizer::from_json(
      R"({"version": "1.0", "truncation": null, "padding": null,
          "added_tokens": [{"id": 3, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false,
                            "normalized": false, "special": true}],
          "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                         "strip_accents": null, "lowercase": true},
          "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": null, "decoder": null,
          "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                    "max_input_chars_per_word": 100,
                    "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "a": 5, "##a": 6}}})",
      16, "tokenizer.json");
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<int64_t> ids;
  cfack::TokenizerMemory memory;
  for (const bool normalize : {true, false}) {
    try {
      tokenizer().encode(text, ids, memory, normalize);
      if (ids.size() < 2 || ids.size() > 16 || ids.front() != 2 || ids.back() != 3) std::abort();
    } catch (const cfack::Error& error) {
      if (error.code() != CFACK_ERROR_DATA) std::abort();
    }
  }
  return 0;
}
