// From a folder of images to a gallery that equals it.
#pragma once

#include <memory>
#include <string>

#include "cfack.h"
#include "gallery_writer.h"

namespace cfack {

struct IndexReport {
  uint64_t images = 0, added = 0, unchanged = 0, removed = 0, skipped = 0;
  double seconds = 0;
};

// Encode what is new or has changed, and take out what is gone. Throws Error.
IndexReport index_folder(std::shared_ptr<const Bundle> bundle, const std::string& folder, const std::string& gallery,
                         const cfack_index_options& options);

}  // namespace cfack
