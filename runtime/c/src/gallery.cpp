#include "gallery.h"

#include <algorithm>

#include "error.h"
#include "files.h"

namespace cfack {
namespace {

constexpr uint64_t kHashedAtOpening = 1 << 30;  // larger embeddings are not read as a whole when a gallery is opened

}  // namespace

std::shared_ptr<const Gallery> Gallery::open(const std::string& path) {
  if (!is_folder(path)) {
    throw Error(CFACK_ERROR_GALLERY, path + ": no such folder; `cfack index` makes a gallery");
  }
  const std::string folder = absolute_path(path), file = folder + "/" + kGalleryIndex;
  std::string bytes = read_file(file, kLargestIndex, CFACK_ERROR_GALLERY);
  while (true) {
    try {
      return std::shared_ptr<const Gallery>(new Gallery(folder, parse_gallery_index(bytes, file)));
    } catch (const Error&) {
      // A writer may have merged segments since: then there is a new gallery.json.
      std::string again = read_file(file, kLargestIndex, CFACK_ERROR_GALLERY);
      if (again == bytes) throw;
      bytes = std::move(again);
    }
  }
}

Gallery::Gallery(std::string path, GalleryIndex index)
    : path_(std::move(path)), index_(std::move(index)), embeddings_(identity().embed_dim) {
  uint64_t images = 0;
  for (const Segment& segment : index_.segments) images += segment.images;
  const bool check_embeddings = images * identity().embed_dim * sizeof(float) <= kHashedAtOpening;
  for (const Segment& segment : index_.segments) add_segment(segment, check_embeddings);
  by_path_.resize(images_.size());
  for (size_t i = 0; i < by_path_.size(); ++i) by_path_[i] = i;
  std::sort(by_path_.begin(), by_path_.end(),
            [this](uint64_t a, uint64_t b) { return images_[a].path < images_[b].path; });
  for (size_t i = 1; i < by_path_.size(); ++i) {
    const std::string& image = images_[by_path_[i]].path;
    if (image == images_[by_path_[i - 1]].path) {
      throw Error(CFACK_ERROR_GALLERY,
                  path_ + ": lists " + in_quotes(image) + " twice; delete it and index the images again");
    }
  }
}

void Gallery::add_segment(const Segment& segment, bool check_embeddings) {
  const auto number = static_cast<uint32_t>(segments_.size());
  OpenSegment& opened = segments_.emplace_back(path_, segment, identity(), check_embeddings);
  embeddings_.add_segment(opened.embeddings(), opened.half_embeddings());
  std::vector<ImageRecord> records = opened.take_images();
  auto removed = segment.removed.begin();
  for (uint32_t row = 0; row < records.size(); ++row) {
    if (removed != segment.removed.end() && *removed == static_cast<int64_t>(row)) {
      ++removed;
      continue;
    }
    images_.push_back(std::move(records[row]));
    embeddings_.add_image({number, row});
  }
}

size_t Gallery::find(const std::string& image_path) const {
  const auto found = std::lower_bound(by_path_.begin(), by_path_.end(), image_path,
                                      [this](uint64_t a, const std::string& b) { return images_[a].path < b; });
  return found != by_path_.end() && images_[*found].path == image_path ? *found : size();
}

void Gallery::read_tokens(size_t place, DType type, void* out) const {
  const RowPlace where = embeddings_.place(place);
  segments_[where.segment].read_tokens(where.row, identity(), type, out);
}

void require_same_space(const std::string& gallery, const Identity& found, const std::string& embedding_space,
                        const std::string& bundle) {
  if (found.embedding_space == embedding_space) return;
  throw Error(CFACK_ERROR_EMBEDDING_SPACE,
              gallery + ": was indexed by " + found.bundle + " (embedding space " +
                  found.embedding_space.substr(0, 12) + "), but " + bundle + " has embedding space " +
                  embedding_space.substr(0, 12) +
                  ": scores between them mean nothing. Use the bundle that made the gallery, or index again: cfack "
                  "index " +
                  found.root + " --bundle " + bundle + " --out NEW_GALLERY");
}

}  // namespace cfack
