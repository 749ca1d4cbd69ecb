// A gallery: images encoded once, on disk, ready to be searched.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend.h"
#include "embeddings.h"
#include "gallery_columns.h"
#include "gallery_index.h"
#include "gallery_segment.h"

namespace cfack {

// What a gallery held when it was opened. Never changes; its embeddings and tokens stay in their files, mapped.
class Gallery {
 public:
  // Throws Error(CFACK_ERROR_GALLERY).
  static std::shared_ptr<const Gallery> open(const std::string& path);

  const std::string& path() const { return path_; }
  const GalleryIndex& index() const { return index_; }
  const Identity& identity() const { return index_.identity; }
  size_t size() const { return images_.size(); }
  const ImageRecord& image(size_t place) const { return images_[place]; }
  const Embeddings& embeddings() const { return embeddings_; }
  Columns& columns() const { return columns_; }  // metadata by field; several threads may ask

  // Place of a path, or `size()`.
  size_t find(const std::string& image_path) const;

  // Copy the tokens (1+N, C) of an image in the type wanted.
  void read_tokens(size_t place, DType type, void* out) const;

 private:
  Gallery(std::string path, GalleryIndex index);
  void add_segment(const Segment& segment, bool check_embeddings);

  std::string path_;
  GalleryIndex index_;
  std::vector<ImageRecord> images_;
  mutable Columns columns_{images_};
  std::vector<OpenSegment> segments_;
  Embeddings embeddings_;
  std::vector<uint64_t> by_path_;  // places, sorted by path
};

// Throws Error(CFACK_ERROR_EMBEDDING_SPACE) if embeddings of the two must not be compared.
void require_same_space(const std::string& gallery, const Identity& found, const std::string& embedding_space,
                        const std::string& bundle);

}  // namespace cfack
