// JSON as a file format: what two readers could read in two ways is refused. The rules are those of
// docs/bundle.md, and Python reads by the same.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cfack {

struct Json {
  enum class Type { kNull, kBoolean, kInteger, kLongInteger, kFloat, kString, kArray, kObject };

  Type type = Type::kNull;
  bool boolean = false;
  std::string text;  // of a string; of a number, as it is written
  std::vector<Json> items;
  std::vector<std::pair<std::string, Json>> members;

  int64_t integer() const;  // of a kInteger
  const Json* find(std::string_view name) const;
  bool is_scalar() const { return type != Type::kNull && type != Type::kArray && type != Type::kObject; }
};

// Name of a type, as messages call it.
const char* json_type(const Json& value);

// A JSON string literal, in ASCII.
std::string json_string(std::string_view utf8);

// Text in quotation marks, cut after 80 bytes, for messages.
std::string in_quotes(std::string_view text);

// The members of one object, read with a check of each. Every method throws Error(code, "WHERE: ...").
class Fields {
 public:
  Fields(const Json& value, std::string where, int code) : value_(&value), where_(std::move(where)), code_(code) {}

  const std::string& where() const { return where_; }
  const std::vector<std::pair<std::string, Json>>& members() const { return value_->members; }

  const std::string& text(const char* name, bool may_be_empty = false) const;
  const std::string& sha256(const char* name) const;
  int64_t integer(const char* name, int64_t low, int64_t high) const;
  double number(const char* name) const;  // whole or not
  bool boolean(const char* name) const;
  Fields object(const char* name) const;
  std::vector<Fields> objects(const char* name) const;
  const std::vector<Json>& list(const char* name) const;
  bool has(const char* name) const { return value_->find(name) != nullptr; }
  bool optional(const char* name) const;  // is there, and not null
  [[noreturn]] void fail(const std::string& what) const;

 private:
  const Json& get(const char* name, Json::Type type, const char* expected) const;

  const Json* value_;
  std::string where_;
  int code_;
};

// Parse one JSON object. `source` is what messages call it. Throws Error(code).
Json parse_object(std::string_view data, const std::string& source, int code);

}  // namespace cfack
