// What the opaque handles of cfack.h are.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bundle.h"
#include "cfack.h"
#include "gallery.h"
#include "gallery_writer.h"
#include "search.h"
#include "structs.h"

struct cfack_bundle {
  std::shared_ptr<const cfack::Bundle> bundle;
};

struct cfack_images {
  uint32_t height = 0;
  uint32_t width = 0;
  size_t count = 0;
  std::vector<uint8_t> pixels;  // may have room for more than `count`

  size_t bytes() const { return static_cast<size_t>(height) * width * 3; }
};

struct cfack_gallery {
  std::shared_ptr<const cfack::Gallery> gallery;
};

struct cfack_writer {
  std::unique_ptr<cfack::GalleryWriter> writer;
};

struct cfack_results {
  std::shared_ptr<const cfack::Gallery> gallery;  // owns the strings of the hits
  std::vector<cfack::Answer> answers;
};

namespace cfack {

// What is behind a handle, held for the time of a call: another thread may free the handle meanwhile.
inline std::shared_ptr<const Bundle> hold(const cfack_bundle* handle) {
  require_given(handle, "bundle");
  return handle->bundle;
}

inline std::shared_ptr<const Gallery> hold(const cfack_gallery* handle) {
  require_given(handle, "gallery");
  return handle->gallery;
}

}  // namespace cfack
