#include <initializer_list>
#include <nlohmann/json.hpp>

#include "error.h"
#include "tokenizer_settings.h"
#include "unicode.h"

namespace cfack {
namespace {

using Json = nlohmann::json;

// The file as a tree, with messages that say where.
class Reader {
 public:
  explicit Reader(const std::string& source) : source_(source) {}

  [[noreturn]] void refuse(const std::string& reason) const {
    throw Error(CFACK_ERROR_BUNDLE, source_ + ": " + reason);
  }

  const Json& member(const Json& object, const std::string& where, const char* name) const {
    const auto found = object.find(name);
    if (found == object.end()) refuse(where + " has no " + name);
    return *found;
  }

  // An object that has no members but these.
  const Json& object(const Json& parent, const std::string& where, const char* name,
                     std::initializer_list<std::string_view> members) const {
    const Json& value = member(parent, where, name);
    if (!value.is_object()) refuse(std::string(name) + " is " + value.type_name() + "; an object is expected");
    only(value, name, members);
    return value;
  }

  void only(const Json& object, const std::string& where, std::initializer_list<std::string_view> members) const {
    for (const auto& item : object.items()) {
      bool known = false;
      for (const std::string_view name : members) known = known || name == item.key();
      if (!known) refuse(where + " has a member that is not supported: " + item.key());
    }
  }

  bool flag(const Json& object, const std::string& where, const char* name) const {
    const Json& value = member(object, where, name);
    if (!value.is_boolean()) refuse(where + "." + name + " is " + value.type_name() + "; true or false is expected");
    return value.get<bool>();
  }

  std::string text(const Json& object, const std::string& where, const char* name) const {
    const Json& value = member(object, where, name);
    if (!value.is_string()) refuse(where + "." + name + " is " + value.type_name() + "; a string is expected");
    return value.get<std::string>();
  }

  int64_t number(const Json& value, const std::string& where) const {
    constexpr uint64_t kLargest = 0xFFFFFFFFu;  // the library's ids are 32 bits
    if (!value.is_number_unsigned() || value.get<uint64_t>() > kLargest) {
      refuse(where + " is " + (value.is_number() ? "out of range" : value.type_name()) +
             "; a whole number from 0 to 4294967295 is expected");
    }
    return static_cast<int64_t>(value.get<uint64_t>());
  }

  void require_type(const Json& object, const char* where, const char* type) const {
    const std::string found = text(object, where, "type");
    if (found != type) refuse(std::string(where) + " is of type " + found + "; only " + type + " is supported");
  }

 private:
  const std::string& source_;
};

void read_normalizer(const Reader& read, const Json& file, TokenizerSettings& settings) {
  const Json& normalizer = read.object(file, "the file", "normalizer",
                                       {"type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"});
  read.require_type(normalizer, "normalizer", "BertNormalizer");
  settings.clean_text = read.flag(normalizer, "normalizer", "clean_text");
  settings.handle_chinese_chars = read.flag(normalizer, "normalizer", "handle_chinese_chars");
  settings.lowercase = read.flag(normalizer, "normalizer", "lowercase");
  const auto strip = normalizer.find("strip_accents");
  settings.strip_accents = strip == normalizer.end() || strip->is_null()
                               ? settings.lowercase  // as BERT: accents go with the capitals
                               : read.flag(normalizer, "normalizer", "strip_accents");
}

void read_model(const Reader& read, const Json& file, TokenizerSettings& settings) {
  const Json& model = read.object(file, "the file", "model",
                                  {"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"});
  if (model.contains("type")) read.require_type(model, "model", "WordPiece");  // old files have none
  settings.unk_token = read.text(model, "model", "unk_token");
  settings.prefix = read.text(model, "model", "continuing_subword_prefix");
  const Json& longest = read.member(model, "model", "max_input_chars_per_word");
  settings.max_word_chars = static_cast<size_t>(read.number(longest, "model.max_input_chars_per_word"));
  const Json& vocabulary = read.member(model, "model", "vocab");
  if (!vocabulary.is_object()) read.refuse("model.vocab is no object of tokens and ids");
  settings.vocabulary.reserve(vocabulary.size());
  for (const auto& item : vocabulary.items()) {
    settings.vocabulary.emplace_back(item.key(), read.number(item.value(), "the id of token " + item.key()));
  }
}

void read_added_tokens(const Reader& read, const Json& file, TokenizerSettings& settings) {
  const Json& tokens = read.member(file, "the file", "added_tokens");
  if (!tokens.is_array()) read.refuse("added_tokens is no list");
  const Json& vocabulary = file["model"]["vocab"];
  for (const Json& token : tokens) {
    if (!token.is_object()) read.refuse("added_tokens holds something other than objects");
    read.only(token, "added_tokens", {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    const std::string content = read.text(token, "added_tokens", "content");
    const std::string where = "added token " + content;
    const int64_t id = read.number(read.member(token, "added_tokens", "id"), "the id of " + where);
    const auto known = vocabulary.find(content);
    if (content.empty() || known == vocabulary.end() || known->get<int64_t>() != id) {
      read.refuse(where + " has id " + std::to_string(id) + ", which is not its id in model.vocab");
    }
    for (const char* name : {"single_word", "lstrip", "rstrip", "normalized"}) {
      if (read.flag(token, where, name)) read.refuse(where + " is " + name + ", which is not supported");
    }
    settings.added.emplace_back(decode_utf8(content), id);
  }
}

}  // namespace

TokenizerSettings read_tokenizer_json(std::string_view json, const std::string& source) {
  const Reader read(source);
  Json file;
  try {
    file = Json::parse(json.begin(), json.end());
  } catch (const Json::parse_error& error) {
    // Not error.what(): it repeats bytes of the file, which need not be text.
    read.refuse("not a tokenizer.json of the tokenizers library: no JSON from byte " + std::to_string(error.byte) + " on");
  } catch (const Json::out_of_range&) {
    read.refuse("not a tokenizer.json of the tokenizers library: a number in it is too large");
  }
  if (!file.is_object()) read.refuse("not a tokenizer.json of the tokenizers library: no object");
  // Truncation and padding are the caller's; what joins sentences and what turns ids back into text is not used.
  read.only(file, "the file", {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                               "post_processor", "decoder", "model"});
  const std::string version = read.text(file, "the file", "version");
  if (version != "1.0") read.refuse("version is " + version + "; only 1.0 is supported");
  TokenizerSettings settings;
  read_normalizer(read, file, settings);
  read.require_type(read.object(file, "the file", "pre_tokenizer", {"type"}), "pre_tokenizer", "BertPreTokenizer");
  read_model(read, file, settings);
  read_added_tokens(read, file, settings);
  return settings;
}

}  // namespace cfack
