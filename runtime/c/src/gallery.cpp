#include "gallery.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "error.h"
#include "half.h"
#include "sha256.h"

namespace cfack {
namespace {

constexpr const char* kRestore = "Restore it, or delete the gallery and index the images again";

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

Gallery::Gallery(std::string path, GalleryIndex index) : path_(std::move(path)), index_(std::move(index)) {
  uint32_t number = 0;
  for (const Segment& segment : index_.segments) add_segment(segment, number++);
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

MappedFile Gallery::map(const Segment& segment, const char* file, bool check_hash) const {
  const FileEntry& entry = *segment.find(file);
  const std::string named = std::string(kSegments) + "/" + segment.name + "/" + file;
  const std::string full = contained_file(path_, named, CFACK_ERROR_GALLERY);
  MappedFile mapped(full, CFACK_ERROR_GALLERY);
  if (mapped.size() != entry.size) {
    throw Error(CFACK_ERROR_GALLERY, full + ": " + std::to_string(mapped.size()) + " bytes, but gallery.json says " +
                                         std::to_string(entry.size) + "; the file was truncated or exchanged. " +
                                         kRestore);
  }
  if (check_hash &&
      sha256_hex({reinterpret_cast<const char*>(mapped.data()), mapped.size()}) != entry.sha256) {
    throw Error(CFACK_ERROR_GALLERY,
                full + ": its SHA-256 is not the one in gallery.json; the file was damaged or exchanged. " + kRestore);
  }
  return mapped;
}

void Gallery::add_segment(const Segment& segment, uint32_t number) {
  const MappedFile lines = map(segment, "images.jsonl", true);
  const std::string source = path_ + "/" + kSegments + "/" + segment.name + "/images.jsonl";
  std::vector<ImageRecord> records =
      parse_images({reinterpret_cast<const char*>(lines.data()), lines.size()}, source);
  if (records.size() != segment.images) {
    throw Error(CFACK_ERROR_GALLERY, source + ": lists " + std::to_string(records.size()) +
                                         " images, gallery.json says " + std::to_string(segment.images));
  }
  const bool half = segment.find("embeddings.f16") != nullptr;
  const char* name = half ? "embeddings.f16" : "embeddings.f32";
  const MappedFile embeddings = map(segment, name, true);
  const size_t dim = identity().embed_dim;
  auto removed = segment.removed.begin();
  for (uint32_t row = 0; row < records.size(); ++row) {
    if (removed != segment.removed.end() && *removed == static_cast<int64_t>(row)) {
      ++removed;
      continue;
    }
    const size_t start = embeddings_.size();
    embeddings_.resize(start + dim);
    float* target = embeddings_.data() + start;
    if (half) {
      half_to_float(reinterpret_cast<const uint16_t*>(embeddings.data()) + row * dim, target, dim);
    } else {
      std::memcpy(target, embeddings.data() + row * dim * sizeof(float), dim * sizeof(float));
    }
    if (!std::all_of(target, target + dim, [](float value) { return std::isfinite(value); })) {
      throw Error(CFACK_ERROR_GALLERY, path_ + "/" + kSegments + "/" + segment.name + "/" + name +
                                           ": holds numbers that are not finite; index again");
    }
    images_.push_back(std::move(records[row]));
    places_.push_back({number, row});
  }
  Tokens tokens;
  if (identity().token_count != 0) {
    const bool small = segment.find("tokens.i8") != nullptr;
    tokens.values = map(segment, small ? "tokens.i8" : "tokens.f16", false);
    if (small) tokens.scales = map(segment, "tokens.scale", false);
  }
  tokens_.push_back(std::move(tokens));
}

size_t Gallery::find(const std::string& image_path) const {
  const auto found = std::lower_bound(by_path_.begin(), by_path_.end(), image_path,
                                      [this](uint64_t a, const std::string& b) { return images_[a].path < b; });
  return found != by_path_.end() && images_[*found].path == image_path ? *found : size();
}

void Gallery::read_tokens(size_t place, DType type, void* out) const {
  const Place where = places_[place];
  const Tokens& tokens = tokens_[where.segment];
  const size_t values = identity().token_values(), count = identity().token_count;
  if (tokens.scales.data() == nullptr) {
    const auto* from = reinterpret_cast<const uint16_t*>(tokens.values.data()) + where.row * values;
    if (type == DType::kFloat16) {
      std::memcpy(out, from, values * 2);
    } else {
      half_to_float(from, static_cast<float*>(out), values);
    }
    return;
  }
  const auto* from = reinterpret_cast<const int8_t*>(tokens.values.data()) + where.row * values;
  const auto* scales = reinterpret_cast<const float*>(tokens.scales.data()) + where.row * count;
  if (type == DType::kFloat32) {
    int8_to_float(from, scales, static_cast<float*>(out), count, identity().token_width);
    return;
  }
  std::vector<float> wide(values);
  int8_to_float(from, scales, wide.data(), count, identity().token_width);
  float_to_half(wide.data(), static_cast<uint16_t*>(out), values);
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
