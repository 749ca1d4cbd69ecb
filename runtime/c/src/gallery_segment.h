// One segment of a gallery as a reader has it: files that were written together and never change.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "backend.h"
#include "gallery_index.h"
#include "mapped_file.h"

namespace cfack {

// Its files are open, and stay so when a writer deletes them.
class OpenSegment {
 public:
  // Checks the sizes of its files and the hash of the list of images; with `check_embeddings`, their hash too, and
  // that they are finite. Throws Error(CFACK_ERROR_GALLERY) that names the file.
  OpenSegment(const std::string& gallery, const Segment& segment, const Identity& identity, bool check_embeddings);

  // All rows, those that were removed included.
  std::vector<ImageRecord> take_images() { return std::move(images_); }
  const void* embeddings() const { return embeddings_.data(); }
  bool half_embeddings() const { return half_embeddings_; }

  // Copy the tokens (1+N, C) of a row in the type wanted. What was touched leaves the process's memory again: tokens
  // may be many times larger than that.
  void read_tokens(size_t row, const Identity& identity, DType type, void* out) const;

 private:
  std::vector<ImageRecord> images_;
  MappedFile embeddings_;
  bool half_embeddings_ = false;
  MappedFile tokens_;  // float16, or int8 where there are scales
  MappedFile scales_;
};

}  // namespace cfack
