// The vocabulary, and how one word is cut into pieces of it.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer_settings.h"

namespace cfack {

class WordPieces {
 public:
  // Keeps no reference to `settings`. Throws CFACK_ERROR_BUNDLE if the unknown token is not in the vocabulary.
  WordPieces(const TokenizerSettings& settings, const std::string& source);

  WordPieces(const WordPieces&) = delete;  // the maps point into text_
  WordPieces& operator=(const WordPieces&) = delete;

  size_t size() const { return words_.size(); }
  const int64_t* find(std::string_view token) const;

  // Appends the ids of the longest pieces from the left, or the unknown token where the word is over-long or
  // cannot be cut; stops when `ids` holds `limit`. `starts` are the bytes at which characters begin.
  void cut(std::string_view word, const std::vector<size_t>& starts, std::vector<int64_t>& ids, size_t limit) const;

 private:
  using Map = std::unordered_map<std::string_view, int64_t>;

  std::vector<char> text_;
  Map words_;          // every token
  Map continuations_;  // those that continue a word, without their prefix
  size_t longest_ = 0;  // token, in bytes
  size_t max_word_chars_;
  int64_t unk_id_;
};

}  // namespace cfack
