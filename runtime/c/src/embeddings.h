// The embeddings of a gallery as they lie in its files, in parts, with rows that do not count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cfack {

// Which row of which segment an image is.
struct RowPlace {
  uint32_t segment;
  uint32_t row;
};

// G rows of D floats that are never put together. Does not own what it points to.
class Embeddings {
 public:
  explicit Embeddings(size_t dim) : dim_(dim) {}

  // Segments in their order: (all rows, D), float32 or float16.
  void add_segment(const void* values, bool half) { segments_.push_back({values, half}); }
  // The images in the order of the gallery.
  void add_image(RowPlace place) { places_.push_back(place); }

  size_t dim() const { return dim_; }
  size_t size() const { return places_.size(); }
  RowPlace place(uint64_t image) const { return places_[image]; }

  // The row of an image: where it lies or, widened, in `wide`, which has room for D floats.
  const float* row(uint64_t image, float* wide) const;

 private:
  struct Segment {
    const void* values;
    bool half;
  };

  size_t dim_;
  std::vector<Segment> segments_;
  std::vector<RowPlace> places_;
};

}  // namespace cfack
