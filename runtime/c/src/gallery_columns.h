// Metadata by field, for filters: read the first time that a field is asked for, and kept.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "filters.h"
#include "gallery_index.h"

namespace cfack {

// One field of all images of a gallery.
struct Column {
  std::vector<Scalar> values;   // the different ones
  std::vector<int32_t> codes;   // which of them each image has; -1: it has no such field
};

// Several threads may ask.
class Columns {
 public:
  explicit Columns(const std::vector<ImageRecord>& images) : images_(images) {}

  // Read fields that are not yet known, all at once.
  void load(const std::set<std::string>& fields);
  // One that was loaded; of a field that no image has, without values. Stays where it is.
  const Column& column(const std::string& field) const;
  // The names of all fields. Something must have been loaded before.
  std::set<std::string> fields() const;

 private:
  void read(const std::set<std::string>& wanted);

  const std::vector<ImageRecord>& images_;
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<const Column>> known_;
  std::set<std::string> fields_;
  bool has_fields_ = false;
};

}  // namespace cfack
