// Captions to word-piece ids: BERT WordPiece as the tokenizers library does it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cfack {

class WordPieces;
struct TokenizerSettings;

// Memory of one call, kept for the next.
struct TokenizerMemory {
  std::u32string text, caption, cleaned, decomposed, lower;
  std::string word;
  std::vector<size_t> starts;  // bytes of `word` at which characters begin
};

// Read-only after it is made: any number of threads may use one.
class Tokenizer {
 public:
  // Reads the text of a tokenizer.json. `source` begins every message. Throws CFACK_ERROR_BUNDLE where it is
  // none, or asks for something other than BERT's normalizer, pre-tokenizer and WordPiece.
  static Tokenizer from_json(std::string_view json, int max_tokens, const std::string& source);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  int max_tokens() const { return max_tokens_; }
  int vocab_size() const;  // added tokens included
  int64_t pad_id() const { return pad_id_; }

  // [CLS], at most max_tokens - 2 word pieces, [SEP] into `ids`, which is emptied first. The caption rules are
  // applied before unless `normalize` is false. Throws CFACK_ERROR_DATA: not UTF-8, or an empty caption.
  void encode(std::string_view caption_utf8, std::vector<int64_t>& ids, TokenizerMemory& memory,
              bool normalize = true) const;

 private:
  Tokenizer(TokenizerSettings&& settings, int max_tokens, const std::string& source);

  void encode_part(std::u32string_view part, std::vector<int64_t>& ids, TokenizerMemory& memory, size_t limit) const;

  std::unique_ptr<const TokenizerSettings> settings_;
  std::unique_ptr<const WordPieces> pieces_;
  int max_tokens_;
  int64_t pad_id_, cls_id_, sep_id_;
};

}  // namespace cfack
