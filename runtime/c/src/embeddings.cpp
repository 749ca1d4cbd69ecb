#include "embeddings.h"

#include "half.h"

namespace cfack {

const float* Embeddings::row(uint64_t image, float* wide) const {
  const RowPlace place = places_[image];
  const Segment& segment = segments_[place.segment];
  const size_t start = static_cast<size_t>(place.row) * dim_;
  if (!segment.half) return static_cast<const float*>(segment.values) + start;
  half_to_float(static_cast<const uint16_t*>(segment.values) + start, wide, dim_);
  return wide;
}

}  // namespace cfack
