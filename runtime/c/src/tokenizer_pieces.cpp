#include "tokenizer_pieces.h"

#include <algorithm>

#include "error.h"

namespace cfack {

WordPieces::WordPieces(const TokenizerSettings& settings, const std::string& source)
    : max_word_chars_(settings.max_word_chars) {
  size_t bytes = 0;
  for (const auto& [token, id] : settings.vocabulary) bytes += token.size();
  text_.reserve(bytes);
  words_.reserve(settings.vocabulary.size());
  continuations_.reserve(settings.vocabulary.size() / 2);
  for (const auto& [token, id] : settings.vocabulary) {
    const size_t begin = text_.size();
    text_.insert(text_.end(), token.begin(), token.end());  // reserved: what points into it stays valid
    const std::string_view kept(text_.data() + begin, token.size());
    longest_ = std::max(longest_, kept.size());
    words_.emplace(kept, id);
    if (kept.substr(0, settings.prefix.size()) == settings.prefix) {
      continuations_.emplace(kept.substr(settings.prefix.size()), id);
    }
  }
  const int64_t* unknown = find(settings.unk_token);
  if (!unknown) {
    throw Error(CFACK_ERROR_BUNDLE, source + ": the unknown token " + settings.unk_token + " is not in the vocabulary");
  }
  unk_id_ = *unknown;
}

const int64_t* WordPieces::find(std::string_view token) const {
  const auto found = words_.find(token);
  return found == words_.end() ? nullptr : &found->second;
}

void WordPieces::cut(std::string_view word, const std::vector<size_t>& starts, std::vector<int64_t>& ids,
                     size_t limit) const {
  if (starts.size() > max_word_chars_) {
    ids.push_back(unk_id_);
    return;
  }
  const size_t before = ids.size();
  for (size_t first = 0; first < starts.size();) {
    const Map& map = first == 0 ? words_ : continuations_;
    size_t last = starts.size();  // one past the piece's last character
    for (; last > first; --last) {
      const size_t end = last == starts.size() ? word.size() : starts[last];
      if (end - starts[first] > longest_) continue;
      const auto found = map.find(word.substr(starts[first], end - starts[first]));
      if (found == map.end()) continue;
      ids.push_back(found->second);
      break;
    }
    if (last == first) {  // no piece begins here: all of the word is unknown
      ids.resize(before);
      ids.push_back(unk_id_);
      return;
    }
    first = last;
  }
  // Only now: whether a word can be cut at all shows at its end.
  if (ids.size() > limit) ids.resize(limit);
}

}  // namespace cfack
