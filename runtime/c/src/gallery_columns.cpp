#include "gallery_columns.h"

#include <unordered_map>

#include "cfack.h"
#include "json.h"

namespace cfack {
namespace {

Scalar scalar(const Json& json) {
  Scalar value;
  value.text = json.text;
  value.boolean = json.boolean;
  value.kind = json.type == Json::Type::kString    ? Scalar::Kind::kText
               : json.type == Json::Type::kBoolean ? Scalar::Kind::kBoolean
                                                   : Scalar::Kind::kNumber;
  return value;
}

// Different for different values.
std::string key_of(const Scalar& value) {
  switch (value.kind) {
    case Scalar::Kind::kText: return "\"" + value.text;
    case Scalar::Kind::kBoolean: return value.boolean ? "true" : "false";
    default: return value.text;
  }
}

}  // namespace

void Columns::load(const std::set<std::string>& fields) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::set<std::string> wanted;
  for (const std::string& field : fields) {
    if (known_.count(field) == 0) wanted.insert(field);
  }
  if (!wanted.empty() || !has_fields_) read(wanted);
}

const Column& Columns::column(const std::string& field) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return *known_.at(field);
}

std::set<std::string> Columns::fields() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return fields_;
}

void Columns::read(const std::set<std::string>& wanted) {
  std::map<std::string, std::unique_ptr<Column>> found;
  std::map<std::string, std::unordered_map<std::string, int32_t>> codes;
  for (const std::string& field : wanted) {
    found[field] = std::make_unique<Column>();
    found[field]->codes.assign(images_.size(), -1);
  }
  // Images of one camera often have the same metadata, one after the other.
  const std::string* text = nullptr;
  Json json;
  for (size_t i = 0; i < images_.size(); ++i) {
    if (text == nullptr || *text != images_[i].metadata) {
      text = &images_[i].metadata;
      json = parse_object(*text, images_[i].path, CFACK_ERROR_GALLERY);
    }
    for (const auto& [name, content] : json.members) {
      fields_.insert(name);
      const auto target = found.find(name);
      if (target == found.end()) continue;
      Scalar value = scalar(content);
      Column& column = *target->second;
      const auto code = codes[name].emplace(key_of(value), static_cast<int32_t>(column.values.size()));
      if (code.second) column.values.push_back(std::move(value));
      column.codes[i] = code.first->second;
    }
  }
  has_fields_ = true;
  for (auto& column : found) known_[column.first] = std::move(column.second);
}

}  // namespace cfack
