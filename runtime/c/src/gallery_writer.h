// Changing a gallery so that a killed process loses nothing that was committed; docs/gallery.md says in which steps.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "bundle.h"
#include "cfack.h"
#include "files.h"
#include "gallery.h"
#include "gallery_segment_writer.h"

namespace cfack {

// How images are kept, in the numbers of cfack.h.
struct Keeping {
  int tokens = CFACK_TOKENS_DEFAULT;
  int embeddings = CFACK_EMBEDDINGS_DEFAULT;
  bool allow_unmeasured = false;  // INT8 tokens of which the bundle does not say that they passed
};

class GalleryWriter {
 public:
  // `root` is made absolute. Throws Error(CFACK_ERROR_GALLERY, CFACK_ERROR_EMBEDDING_SPACE or CFACK_ERROR_INVALID).
  GalleryWriter(const std::string& path, std::shared_ptr<const Bundle> bundle, const std::string& root,
                Keeping keeping);

  // The committed image of a path, or nullptr.
  const ImageRecord* find(const std::string& path) const;
  std::vector<std::string> paths() const;
  size_t size() const { return known_.size(); }
  size_t pending() const { return records_.size(); }
  const std::string& folder() const { return path_; }
  const Bundle& bundle() const { return *bundle_; }

  // Encode `records.size()` images of H x W x 3 bytes and append them.
  void add(const uint8_t* pixels, const std::vector<ImageRecord>& records);
  void commit();
  void remove(const std::vector<std::string>& paths);

  // Drop what is pending, and remove a folder to which nothing was ever committed.
  void close();

 private:
  struct Known {
    size_t segment;
    uint64_t row;
    ImageRecord record;
  };

  void load();
  void require_measured(Keeping keeping) const;
  void discard();
  void store(GalleryIndex index);
  void mark_removed(GalleryIndex* index, const std::vector<std::string>& paths) const;
  [[noreturn]] void fail_to_write(const std::exception& error);

  std::string path_;
  std::shared_ptr<const Bundle> bundle_;
  Descriptor lock_;
  GalleryIndex index_;
  Layout layout_;
  std::map<std::string, Known> known_;
  std::unique_ptr<SegmentWriter> pending_;
  std::vector<ImageRecord> records_;  // that are pending
  std::set<std::string> pending_paths_;
};

}  // namespace cfack
