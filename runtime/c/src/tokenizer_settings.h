// What a tokenizer.json says.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cfack {

struct TokenizerSettings {
  // BertNormalizer
  bool clean_text = true;
  bool handle_chinese_chars = true;
  bool strip_accents = true;
  bool lowercase = true;
  // WordPiece
  std::string unk_token;
  std::string prefix;  // of a piece that continues a word: "##"
  size_t max_word_chars = 100;
  std::vector<std::pair<std::string, int64_t>> vocabulary;  // each token once
  // Found in the text as they are, before it is normalized: [SEP] and the like.
  std::vector<std::pair<std::u32string, int64_t>> added;
};

// Throws CFACK_ERROR_BUNDLE; see Tokenizer::from_json.
TokenizerSettings read_tokenizer_json(std::string_view json, const std::string& source);

}  // namespace cfack
