#include "filters.h"

#include <optional>
#include <set>

#include "error.h"
#include "gallery.h"
#include "gallery_columns.h"
#include "json.h"
#include "number.h"
#include "pattern.h"

namespace cfack {
namespace {

constexpr const char* kPath = "path";  // a field that every image has
constexpr size_t kMostDigits = 30;

using Mask = std::vector<uint8_t>;

void collect_fields(const Condition& condition, std::set<std::string>* fields) {
  if (condition.kind == Condition::Kind::kCompare && condition.field != kPath) fields->insert(condition.field);
  for (const Condition& part : condition.parts) collect_fields(part, fields);
}

// Takes 1 to 30 digits off the front.
bool take_digits(std::string_view* text, size_t most) {
  size_t count = 0;
  while (count < text->size() && (*text)[count] >= '0' && (*text)[count] <= '9') ++count;
  text->remove_prefix(count);
  return count >= 1 && count <= most;
}

// -?[0-9]{1,30}(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,2})?
bool is_number(std::string_view text) {
  if (!text.empty() && text[0] == '-') text.remove_prefix(1);
  if (!take_digits(&text, kMostDigits)) return false;
  if (!text.empty() && text[0] == '.') {
    text.remove_prefix(1);
    if (!take_digits(&text, kMostDigits)) return false;
  }
  if (!text.empty() && (text[0] == 'e' || text[0] == 'E')) {
    text.remove_prefix(1);
    if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
    if (!take_digits(&text, 2)) return false;
  }
  return text.empty();
}

// One comparison, ready for many values.
class Test {
 public:
  explicit Test(const Condition& condition) : condition_(condition) {
    if (condition.op == "~") {
      pattern_.emplace(condition.value);
    } else if (!condition.quoted && is_number(condition.value)) {
      number_ = parse_number(condition.value);
    }
  }

  bool holds(const Scalar& value) const {
    const bool is_text = value.kind == Scalar::Kind::kText;
    if (pattern_) return is_text && pattern_->matches(value.text);
    const std::string& op = condition_.op;
    if (is_text) return decides(value.text.compare(condition_.value));
    if (value.kind == Scalar::Kind::kNumber) {
      return number_ ? decides(compare(parse_number(value.text), *number_)) : op == "!=";
    }
    const bool says_true = condition_.value == "true", says_false = condition_.value == "false";
    if (condition_.quoted || (!says_true && !says_false)) return op == "!=";
    if (op != "=" && op != "!=") return false;
    return (value.boolean == says_true) == (op == "=");
  }

 private:
  bool decides(int order) const {
    const std::string& op = condition_.op;
    if (op == "=") return order == 0;
    if (op == "!=") return order != 0;
    if (op == "<") return order < 0;
    if (op == "<=") return order <= 0;
    return op == ">" ? order > 0 : order >= 0;
  }

  const Condition& condition_;
  std::optional<Pattern> pattern_;
  std::optional<Number> number_;
};

Mask compared(const Condition& condition, const Gallery& gallery) {
  const Test test(condition);
  Mask mask(gallery.size());
  if (condition.field == kPath) {
    Scalar path;
    for (size_t i = 0; i < mask.size(); ++i) {
      path.text = gallery.image(i).path;
      mask[i] = test.holds(path);
    }
    return mask;
  }
  const Column& column = gallery.columns().column(condition.field);
  Mask verdicts;
  for (const Scalar& value : column.values) verdicts.push_back(test.holds(value));
  for (size_t i = 0; i < mask.size(); ++i) {
    mask[i] = column.codes[i] >= 0 && verdicts[static_cast<size_t>(column.codes[i])] != 0;
  }
  return mask;
}

Mask fulfilled(const Condition& condition, const Gallery& gallery) {
  if (condition.kind == Condition::Kind::kCompare) return compared(condition, gallery);
  Mask mask = fulfilled(condition.parts[0], gallery);
  if (condition.kind == Condition::Kind::kNot) {
    for (uint8_t& row : mask) row = !row;
    return mask;
  }
  const bool all = condition.kind == Condition::Kind::kAll;
  for (size_t part = 1; part < condition.parts.size(); ++part) {
    const Mask other = fulfilled(condition.parts[part], gallery);
    for (size_t i = 0; i < mask.size(); ++i) mask[i] = all ? (mask[i] & other[i]) : (mask[i] | other[i]);
  }
  return mask;
}

void require_fields(const Gallery& gallery, const std::set<std::string>& asked) {
  const std::set<std::string> known = gallery.columns().fields();
  for (const std::string& field : asked) {
    if (known.count(field) != 0) continue;
    std::string names = kPath;
    for (const std::string& name : known) names += ", " + name;
    throw Error(CFACK_ERROR_INVALID,
                "no image of " + gallery.path() + " has the field " + in_quotes(field) + "; its fields are " + names);
  }
}

}  // namespace

std::vector<uint64_t> select_images(const Gallery& gallery, std::string_view filter) {
  const Condition condition = parse_filter(filter);
  std::vector<uint64_t> places;
  if (gallery.size() == 0) return places;
  std::set<std::string> asked;
  collect_fields(condition, &asked);
  gallery.columns().load(asked);
  if (!asked.empty()) require_fields(gallery, asked);
  const Mask mask = fulfilled(condition, gallery);
  for (size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] != 0) places.push_back(i);
  }
  return places;
}

}  // namespace cfack
