#include "tokenizer.h"

#include <algorithm>

#include "caption.h"
#include "error.h"
#include "tokenizer_pieces.h"
#include "tokenizer_settings.h"
#include "unicode.h"

namespace cfack {
namespace {

// BertNormalizer: the four steps in the library's order. What is returned lies in `memory`.
std::u32string_view normalized(std::u32string_view text, const TokenizerSettings& settings, TokenizerMemory& memory) {
  std::u32string& cleaned = memory.cleaned;
  cleaned.clear();
  cleaned.reserve(text.size());
  for (const char32_t code : text) {
    char32_t kept = code;
    if (settings.clean_text) {
      if (code == 0 || code == 0xFFFD) continue;
      const bool white = code == U'\t' || code == U'\n' || code == U'\r';
      if (!white && is_other(code)) continue;
      if (is_space(code)) kept = U' ';
    }
    if (settings.handle_chinese_chars && is_chinese(kept)) {
      cleaned.append({U' ', kept, U' '});
    } else {
      cleaned.push_back(kept);
    }
  }
  std::u32string_view result = cleaned;
  if (settings.strip_accents) {
    std::u32string& bare = memory.decomposed;
    decompose(result, bare);
    bare.erase(std::remove_if(bare.begin(), bare.end(), is_mark), bare.end());
    result = bare;
  }
  if (settings.lowercase) {
    memory.lower.clear();
    memory.lower.reserve(result.size());
    for (const char32_t code : result) append_lower(memory.lower, code);
    result = memory.lower;
  }
  return result;
}

int64_t require_token(const WordPieces& pieces, const char* token, const std::string& source) {
  const int64_t* id = pieces.find(token);
  if (!id) {
    throw Error(CFACK_ERROR_BUNDLE, source + ": " + token + " not in the vocabulary; a BERT one is expected");
  }
  return *id;
}

}  // namespace

Tokenizer Tokenizer::from_json(std::string_view json, int max_tokens, const std::string& source) {
  if (max_tokens < 3) {
    throw Error(CFACK_ERROR_INVALID,
                "max_tokens must be at least 3 ([CLS], a piece, [SEP]), got " + std::to_string(max_tokens));
  }
  require_unicode_tables();
  return Tokenizer(read_tokenizer_json(json, source), max_tokens, source);
}

Tokenizer::Tokenizer(TokenizerSettings&& settings, int max_tokens, const std::string& source)
    : pieces_(std::make_unique<const WordPieces>(settings, source)), max_tokens_(max_tokens) {
  settings.vocabulary = {};  // pieces_ has it now
  settings_ = std::make_unique<const TokenizerSettings>(std::move(settings));
  require_token(*pieces_, "[UNK]", source);
  require_token(*pieces_, "[MASK]", source);
  pad_id_ = require_token(*pieces_, "[PAD]", source);
  cls_id_ = require_token(*pieces_, "[CLS]", source);
  sep_id_ = require_token(*pieces_, "[SEP]", source);
}

Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

int Tokenizer::vocab_size() const { return static_cast<int>(pieces_->size()); }

void Tokenizer::encode(std::string_view caption_utf8, std::vector<int64_t>& ids, TokenizerMemory& memory,
                       bool normalize) const {
  decode_utf8(caption_utf8, memory.text);
  std::u32string_view all = memory.text;
  if (normalize) all = normalize_caption(all, max_tokens_, memory.caption);
  ids.assign(1, cls_id_);
  const size_t limit = static_cast<size_t>(max_tokens_) - 1;
  // Added tokens are taken out as they stand; the parts between them are normalized and cut on their own.
  size_t begin = 0;
  for (size_t at = 0; at < all.size() && ids.size() < limit;) {
    const std::pair<std::u32string, int64_t>* longest = nullptr;
    for (const auto& added : settings_->added) {
      if (all[at] == added.first[0] && all.compare(at, added.first.size(), added.first) == 0 &&
          (!longest || added.first.size() > longest->first.size())) {
        longest = &added;
      }
    }
    if (!longest) {
      ++at;
      continue;
    }
    encode_part(all.substr(begin, at - begin), ids, memory, limit);
    if (ids.size() < limit) ids.push_back(longest->second);
    at += longest->first.size();
    begin = at;
  }
  encode_part(all.substr(begin), ids, memory, limit);
  ids.push_back(sep_id_);
}

void Tokenizer::encode_part(std::u32string_view part, std::vector<int64_t>& ids, TokenizerMemory& memory,
                            size_t limit) const {
  if (part.empty() || ids.size() >= limit) return;
  std::string& word = memory.word;
  std::vector<size_t>& starts = memory.starts;
  const auto end_word = [&] {
    if (!starts.empty() && ids.size() < limit) pieces_->cut(word, starts, ids, limit);
    word.clear();
    starts.clear();
  };
  for (const char32_t code : normalized(part, *settings_, memory)) {
    const bool alone = is_punctuation(code);
    if (alone || is_space(code)) end_word();
    if (is_space(code)) continue;
    starts.push_back(word.size());
    append_utf8(word, code);
    if (alone) end_word();
  }
  end_word();
}

}  // namespace cfack
