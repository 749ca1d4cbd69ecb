// Filters as sentences:
//
//     sentence   = both {"or" both}
//     both       = part {"and" part}
//     part       = "not" part | "(" sentence ")" | comparison
//     comparison = field operator value | field "in" "(" value {"," value} ")"
//     operator   = "=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "~"
#include <algorithm>

#include "error.h"
#include "filters.h"
#include "json.h"
#include "unicode.h"

namespace cfack {
namespace {

constexpr size_t kLongest = 10000;
constexpr int kDeepest = 50;

struct Token {
  std::string text;
  bool quoted = false;
  bool symbol = false;
  size_t at = 0;  // in characters

  bool is_symbol(const char* wanted) const { return symbol && text == wanted; }
  bool is_word(const char* wanted) const {
    if (quoted || symbol) return false;
    std::string lower = text;
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return lower == wanted;
  }
};

[[noreturn]] void fail(std::u32string_view sentence, size_t at, const std::string& got, const std::string& expected) {
  throw Error(CFACK_ERROR_INVALID, "filter " + in_quotes(encode_utf8(sentence)) + ": " + expected + " at character " +
                                       std::to_string(at + 1) + ", got " + got);
}

class Splitter {
 public:
  explicit Splitter(std::u32string_view sentence) : sentence_(sentence), end_(sentence.size()) {
    while (end_ > 0 && is_space_to_python(sentence[end_ - 1])) --end_;
  }

  std::vector<Token> split() {
    std::vector<Token> tokens;
    while (true) {
      while (at_ < end_ && is_space_to_python(sentence_[at_])) ++at_;
      if (at_ == end_) break;
      tokens.push_back(next());
    }
    tokens.push_back({"the end", false, true, end_});
    return tokens;
  }

 private:
  Token next() {
    const char32_t first = sentence_[at_];
    if (first == U'"' || first == U'\'') return quoted(first);
    if (is_special(first)) return symbol();
    const size_t start = at_;
    while (at_ < sentence_.size() && !is_special(sentence_[at_]) && !is_space_to_python(sentence_[at_])) ++at_;
    return {encode_utf8(sentence_.substr(start, at_ - start)), false, false, start};
  }

  Token quoted(char32_t mark) {
    const size_t start = at_ + 1, end = sentence_.find(mark, start);
    if (end == sentence_.npos) refuse();
    at_ = end + 1;
    return {encode_utf8(sentence_.substr(start, end - start)), true, false, start};
  }

  Token symbol() {
    const size_t start = at_;
    const bool two = start + 1 < sentence_.size() && sentence_[start + 1] == U'=' &&
                     std::u32string_view(U"<>!=").find(sentence_[start]) != std::u32string_view::npos;
    if (!two && sentence_[start] == U'!') refuse();
    at_ += two ? 2 : 1;
    return {encode_utf8(sentence_.substr(start, at_ - start)), false, true, start};
  }

  static bool is_special(char32_t code) {
    return std::u32string_view(U"=<>!~(),\"'").find(code) != std::u32string_view::npos;
  }

  [[noreturn]] void refuse() const {
    fail(sentence_, at_, encode_utf8(sentence_.substr(at_, 1)),
         "expected a word, a comparison or a closed quotation");
  }

  std::u32string_view sentence_;
  size_t end_;
  size_t at_ = 0;
};

class Parser {
 public:
  explicit Parser(std::u32string_view sentence) : sentence_(sentence), tokens_(Splitter(sentence).split()) {}

  Condition whole() {
    Condition condition = sentence(0);
    if (place_ != tokens_.size() - 1) refuse("expected 'and', 'or' or the end");
    return condition;
  }

 private:
  Condition sentence(int depth) {
    return joined(Condition::Kind::kAny, "or", [this, depth] {
      return joined(Condition::Kind::kAll, "and", [this, depth] { return part(depth); });
    });
  }

  template <typename Read>
  Condition joined(Condition::Kind kind, const char* word, Read&& read) {
    std::vector<Condition> parts;
    parts.push_back(read());
    while (next().is_word(word)) {
      ++place_;
      parts.push_back(read());
    }
    return parts.size() == 1 ? std::move(parts[0]) : group(kind, std::move(parts));
  }

  Condition part(int depth) {
    if (depth > kDeepest) refuse("nested too deeply");
    if (next().is_word("not")) {
      ++place_;
      std::vector<Condition> inside;
      inside.push_back(part(depth + 1));
      return group(Condition::Kind::kNot, std::move(inside));
    }
    if (next().is_symbol("(")) {
      ++place_;
      Condition inside = sentence(depth + 1);
      expect(")");
      return inside;
    }
    return comparison();
  }

  Condition comparison() {
    const bool reserved = next().is_word("and") || next().is_word("or") || next().is_word("in");
    if (next().symbol || reserved) refuse("expected the name of a field");
    const std::string field = tokens_[place_++].text;
    if (next().is_word("in")) {
      ++place_;
      expect("(");
      std::vector<Condition> values;
      values.push_back(compare(field, "="));
      while (next().is_symbol(",")) {
        ++place_;
        values.push_back(compare(field, "="));
      }
      expect(")");
      return group(Condition::Kind::kAny, std::move(values));
    }
    static const char* const operators[] = {"=", "==", "!=", "<", "<=", ">", ">=", "~"};
    const Token& op = next();
    if (std::none_of(std::begin(operators), std::end(operators), [&op](const char* o) { return op.is_symbol(o); })) {
      refuse("expected =, !=, <, <=, >, >=, ~ or 'in' after " + in_quotes(field));
    }
    ++place_;
    return compare(field, op.text == "==" ? "=" : op.text);
  }

  Condition compare(const std::string& field, const std::string& op) {
    if (next().symbol) refuse("expected a value");
    const Token& value = tokens_[place_++];
    Condition condition;
    condition.field = field;
    condition.op = op;
    condition.value = value.text;
    condition.quoted = value.quoted;
    return condition;
  }

  static Condition group(Condition::Kind kind, std::vector<Condition> parts) {
    Condition condition;
    condition.kind = kind;
    condition.parts = std::move(parts);
    return condition;
  }

  const Token& next() const { return tokens_[place_]; }

  void expect(const char* symbol) {
    if (!next().is_symbol(symbol)) refuse("expected '" + std::string(symbol) + "'");
    ++place_;
  }

  [[noreturn]] void refuse(const std::string& expected) const { fail(sentence_, next().at, next().text, expected); }

  std::u32string_view sentence_;
  std::vector<Token> tokens_;
  size_t place_ = 0;
};

std::u32string decoded(std::string_view utf8) {
  try {
    return decode_utf8(utf8);
  } catch (const Error& error) {
    throw Error(CFACK_ERROR_INVALID, std::string("filter: ") + error.what());
  }
}

}  // namespace

Condition parse_filter(std::string_view utf8) {
  const std::u32string sentence = decoded(utf8);
  if (sentence.size() > kLongest) {
    throw Error(CFACK_ERROR_INVALID, "a filter of " + std::to_string(sentence.size()) + " characters; at most " +
                                         std::to_string(kLongest) + " are read");
  }
  return Parser(sentence).whole();
}

}  // namespace cfack
