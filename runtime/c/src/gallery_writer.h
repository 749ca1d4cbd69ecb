// Changing a gallery so that a killed process loses nothing that was committed; docs/gallery.md says in which steps.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "bundle.h"
#include "files.h"
#include "gallery.h"
#include "sha256.h"

namespace cfack {

class GalleryWriter {
 public:
  // `root` is made absolute. Throws Error(CFACK_ERROR_GALLERY or CFACK_ERROR_EMBEDDING_SPACE).
  GalleryWriter(const std::string& path, const Bundle& bundle, const std::string& root, bool keep_tokens);
  ~GalleryWriter();
  GalleryWriter(const GalleryWriter&) = delete;
  GalleryWriter& operator=(const GalleryWriter&) = delete;

  // The committed image of a path, or nullptr.
  const ImageRecord* find(const std::string& path) const;
  std::vector<std::string> paths() const;
  size_t size() const { return known_.size(); }
  size_t pending() const { return records_.size(); }
  const std::string& folder() const { return path_; }
  const Bundle& bundle() const { return bundle_; }

  // Encode `records.size()` images of H x W x 3 bytes and append them.
  void add(const uint8_t* pixels, const std::vector<ImageRecord>& records);
  void commit();
  void remove(const std::vector<std::string>& paths);

  // Remove a folder to which nothing was ever committed.
  void remove_unused();

 private:
  struct Known {
    size_t segment;
    uint64_t row;
    ImageRecord record;
  };
  struct Part {  // one file of the segment that is being written
    std::string name;
    Descriptor file;
    Sha256 hash;
    uint64_t size = 0;
  };

  void lock();
  void load(const Identity& wanted);
  void remove_leftovers();
  void begin_segment();
  void write(size_t part, const void* data, uint64_t size);
  void discard();
  void store(GalleryIndex index);
  void mark_removed(GalleryIndex* index, const std::vector<std::string>& paths) const;
  [[noreturn]] void fail_to_write(const std::exception& error);

  std::string path_;
  const Bundle& bundle_;
  Descriptor lock_;
  GalleryIndex index_;
  std::map<std::string, Known> known_;
  std::string name_;  // of the segment that is being written
  std::vector<Part> parts_;
  std::vector<ImageRecord> records_;
  std::set<std::string> pending_paths_;
};

}  // namespace cfack
