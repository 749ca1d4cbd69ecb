// A new segment: whole on the disk under its name, or not there.
#pragma once

#include <string>
#include <vector>

#include "backend.h"
#include "files.h"
#include "gallery_index.h"
#include "sha256.h"

namespace cfack {

// A segment under a temporary name, to which rows are added until it is finished; if it is not, nothing is left of it.
class SegmentWriter {
 public:
  // Throws std::system_error, as all that write.
  SegmentWriter(const std::string& gallery, const GalleryIndex& index, Layout layout);
  ~SegmentWriter();
  SegmentWriter(const SegmentWriter&) = delete;
  SegmentWriter& operator=(const SegmentWriter&) = delete;

  // Append rows: `embeddings` (B, D) and `tokens` (B, 1+N, C), which is not looked at where none are kept, as the
  // image encoder gives them. Throws Error(CFACK_ERROR_BACKEND) that names the image whose numbers outgrow what they
  // are kept in, before anything is written.
  void add(const TensorView& embeddings, const TensorView& tokens, const ImageRecord* records, size_t count);

  // Have everything written to the disk and give the segment its name.
  Segment finish(const std::string& precision);

 private:
  struct File {
    std::string name;
    Descriptor descriptor;
    Sha256 hash;
    uint64_t size = 0;
    std::vector<uint8_t> rows;  // to be written
  };

  void fill_embeddings(const TensorView& embeddings, const ImageRecord* records, size_t count);
  void fill_tokens(const TensorView& tokens, const ImageRecord* records, size_t count);

  const Identity& identity_;
  Layout layout_;
  std::string segments_;  // folder
  std::string name_;
  uint64_t images_ = 0;
  bool finished_ = false;
  std::vector<File> files_;  // in the order of Layout::files
  std::vector<float> wide_;
};

}  // namespace cfack
