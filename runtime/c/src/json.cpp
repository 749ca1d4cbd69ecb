#include "json.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "error.h"
#include "number.h"

namespace cfack {
namespace {

constexpr size_t kLongestInteger = 30;
constexpr size_t kDeepest = 512;
constexpr size_t kLongestReason = 300;

// Builds a Json from nlohmann's parser, which checks grammar and UTF-8, and refuses what it lets pass.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(std::string_view data) : data_(data) {}
  bool null() override { return add(Json{}); }
  bool boolean(bool value) override {
    Json json;
    json.type = Json::Type::kBoolean;
    json.boolean = value;
    return add(std::move(json));
  }
  bool number_integer(number_integer_t value) override { return add_integer(value); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<number_unsigned_t>(INT64_MAX)) return add_long(std::to_string(value));
    return add_integer(static_cast<int64_t>(value));
  }
  bool number_float(number_float_t, const string_t& raw) override {
    if (raw.find_first_of(".eE") == string_t::npos) return add_long(raw);  // too long for 64 bits
    Json json;
    json.type = Json::Type::kFloat;
    json.text = raw;
    return add(std::move(json));
  }
  bool string(string_t& value) override {
    Json json;
    json.type = Json::Type::kString;
    json.text = std::move(value);
    return add(std::move(json));
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Json::Type::kObject); }
  bool start_array(size_t) override { return open(Json::Type::kArray); }
  bool key(string_t& name) override {
    open_.back().members.emplace_back(std::move(name), Json{});
    return true;
  }
  bool end_object() override {
    std::vector<std::string_view> names;
    for (const auto& member : open_.back().members) names.emplace_back(member.first);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) return fail("the key " + in_quotes(*twice) + " occurs twice in one object");
    return close();
  }
  bool end_array() override { return close(); }
  bool parse_error(size_t position, const std::string& token, const nlohmann::detail::exception& error) override {
    for (const char* word : {"NaN", "Infinity"}) {
      const size_t start = position == 0 ? 0 : position - 1;
      if (data_.compare(start, std::strlen(word), word) == 0) return fail(std::string(word) + " is not a finite number");
    }
    if (dynamic_cast<const nlohmann::detail::out_of_range*>(&error) != nullptr) {
      if (token.size() > kLongestInteger && token.find_first_of(".eE") == std::string::npos) return add_long(token);
      return fail(token.substr(0, kLongestInteger) + " is not a finite number");
    }
    const std::string what = error.what();
    const size_t start = what.find("] ");  // behind the library's own "[json.exception...]"
    std::string reason;
    for (const char c : what.substr(start == std::string::npos ? 0 : start + 2, kLongestReason)) {
      reason += static_cast<unsigned char>(c) < 0x80 ? c : '?';  // it quotes bytes that may be no UTF-8
    }
    return fail(reason);
  }

  Json take() { return std::move(root_); }
  const std::string& reason() const { return reason_; }

 private:
  bool add_integer(int64_t value) {
    Json json;
    json.type = Json::Type::kInteger;
    json.text = std::to_string(value);
    return add(std::move(json));
  }
  bool add_long(const std::string& raw) {
    if (raw.size() > kLongestInteger) return fail("a number of " + std::to_string(raw.size()) + " digits");
    Json json;
    json.type = Json::Type::kLongInteger;
    json.text = raw;
    return add(std::move(json));
  }
  bool open(Json::Type type) {
    if (open_.size() == kDeepest) return fail("nested too deeply");
    open_.emplace_back();
    open_.back().type = type;
    return true;
  }
  bool close() {
    Json json = std::move(open_.back());
    open_.pop_back();
    return add(std::move(json));
  }
  bool add(Json json) {
    if (open_.empty()) {
      root_ = std::move(json);
    } else if (open_.back().type == Json::Type::kObject) {
      open_.back().members.back().second = std::move(json);
    } else {
      open_.back().items.push_back(std::move(json));
    }
    return true;
  }
  bool fail(const std::string& reason) {
    reason_ = reason;
    return false;
  }

  std::string_view data_;
  Json root_;
  std::vector<Json> open_;
  std::string reason_;
};

}  // namespace

int64_t Json::integer() const {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

const Json* Json::find(std::string_view name) const {
  for (const auto& member : members) {
    if (member.first == name) return &member.second;
  }
  return nullptr;
}

const char* json_type(const Json& value) {
  switch (value.type) {
    case Json::Type::kNull: return "null";
    case Json::Type::kBoolean: return "boolean";
    case Json::Type::kString: return "string";
    case Json::Type::kArray: return "list";
    case Json::Type::kObject: return "object";
    default: return "number";
  }
}

std::string json_string(std::string_view utf8) {
  return nlohmann::json(std::string(utf8)).dump(-1, ' ', true);
}

std::string in_quotes(std::string_view text) {
  std::string result = "'";
  size_t end = std::min<size_t>(text.size(), 80);
  while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  for (const char c : text.substr(0, end)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", byte);
      result += escape;
    } else {
      result += c;
    }
  }
  return result + (end < text.size() ? "...'" : "'");
}

void Fields::fail(const std::string& what) const { throw Error(code_, where_ + ": " + what); }

const Json& Fields::get(const char* name, Json::Type type, const char* expected) const {
  const Json* found = value_->find(name);
  if (found == nullptr) fail(std::string(name) + " is missing");
  const bool long_for_whole = type == Json::Type::kInteger && found->type == Json::Type::kLongInteger;
  if (found->type != type && !long_for_whole) {
    fail(std::string(name) + " is a JSON " + json_type(*found) + ", expected " + expected);
  }
  return *found;
}

const std::string& Fields::text(const char* name, bool may_be_empty) const {
  const std::string& value = get(name, Json::Type::kString, "a string").text;
  if (value.empty() && !may_be_empty) fail(std::string(name) + " is '', which is no valid " + name);
  return value;
}

const std::string& Fields::sha256(const char* name) const {
  const std::string& value = get(name, Json::Type::kString, "a string").text;
  if (value.size() != 64 || value.find_first_not_of("0123456789abcdef") != std::string::npos) {
    fail(std::string(name) + " is " + in_quotes(value) + ", expected 64 lower-case hexadecimal digits");
  }
  return value;
}

int64_t Fields::integer(const char* name, int64_t low, int64_t high) const {
  const Json& value = get(name, Json::Type::kInteger, "a whole number");
  const int64_t found = value.type == Json::Type::kLongInteger ? 0 : value.integer();
  if (value.type == Json::Type::kLongInteger || found < low || found > high) {
    fail(std::string(name) + " is " + value.text + ", expected " + std::to_string(low) + " to " +
         std::to_string(high));
  }
  return found;
}

double Fields::number(const char* name) const {
  const Json* found = value_->find(name);
  const bool whole =
      found != nullptr && (found->type == Json::Type::kInteger || found->type == Json::Type::kLongInteger);
  const Number value = parse_number(whole ? found->text : get(name, Json::Type::kFloat, "a number").text);
  return value.whole ? static_cast<double>(value.integer) : value.real;
}

bool Fields::boolean(const char* name) const {
  return get(name, Json::Type::kBoolean, "true or false").boolean;
}

Fields Fields::object(const char* name) const {
  return Fields(get(name, Json::Type::kObject, "an object"), where_ + ": " + name, code_);
}

std::vector<Fields> Fields::objects(const char* name) const {
  std::vector<Fields> found;
  const std::vector<Json>& values = list(name);
  for (size_t i = 0; i < values.size(); ++i) {
    const std::string place = std::string(name) + "[" + std::to_string(i) + "]";
    if (values[i].type != Json::Type::kObject) fail(place + " is no object");
    found.emplace_back(values[i], where_ + ": " + place, code_);
  }
  return found;
}

const std::vector<Json>& Fields::list(const char* name) const {
  return get(name, Json::Type::kArray, "a list").items;
}

bool Fields::optional(const char* name) const {
  const Json* found = value_->find(name);
  return found != nullptr && found->type != Json::Type::kNull;
}

Json parse_object(std::string_view data, const std::string& source, int code) {
  Builder builder(data);
  // nlohmann skips a byte order mark, which Python refuses.
  const bool marked = data.substr(0, 3) == "\xef\xbb\xbf";
  if (marked || !nlohmann::json::sax_parse(data.begin(), data.end(), &builder)) {
    throw Error(code, source + ": not valid JSON: " + (marked ? "a byte order mark" : builder.reason()));
  }
  Json json = builder.take();
  if (json.type != Json::Type::kObject) {
    throw Error(code, source + ": holds a JSON " + json_type(json) + ", expected an object");
  }
  return json;
}

}  // namespace cfack
