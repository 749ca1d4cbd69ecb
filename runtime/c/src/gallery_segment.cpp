#include "gallery_segment.h"

#include "contained.h"
#include "error.h"
#include "half.h"
#include "sha256.h"
#include "tokens.h"

namespace cfack {
namespace {

constexpr const char* kRestore = "Restore it, or delete the gallery and index the images again";

MappedFile open_file_of(const std::string& gallery, const Segment& segment, const char* name, bool hashed) {
  const FileEntry& entry = *segment.find(name);
  const std::string full =
      contained_file(gallery, std::string(kSegments) + "/" + segment.name + "/" + name, CFACK_ERROR_GALLERY);
  MappedFile file(full, CFACK_ERROR_GALLERY);
  if (file.size() != entry.size) {
    throw Error(CFACK_ERROR_GALLERY, full + ": " + std::to_string(file.size()) + " bytes, but gallery.json says " +
                                         std::to_string(entry.size) + "; the file was truncated or exchanged. " +
                                         kRestore);
  }
  if (hashed && sha256_hex({reinterpret_cast<const char*>(file.data()), file.size()}) != entry.sha256) {
    throw Error(CFACK_ERROR_GALLERY,
                full + ": its SHA-256 is not the one in gallery.json; the file was damaged or exchanged. " + kRestore);
  }
  return file;
}

}  // namespace

OpenSegment::OpenSegment(const std::string& gallery, const Segment& segment, const Identity& identity,
                         bool check_embeddings) {
  const std::string folder = gallery + "/" + kSegments + "/" + segment.name + "/";
  const MappedFile lines = open_file_of(gallery, segment, kImages, true);
  images_ = parse_images({reinterpret_cast<const char*>(lines.data()), lines.size()}, folder + kImages);
  if (images_.size() != segment.images) {
    throw Error(CFACK_ERROR_GALLERY, folder + kImages + ": lists " + std::to_string(images_.size()) +
                                         " images, gallery.json says " + std::to_string(segment.images));
  }
  half_embeddings_ = segment.find(kHalfEmbeddings) != nullptr;
  const char* name = half_embeddings_ ? kHalfEmbeddings : kEmbeddings;
  embeddings_ = open_file_of(gallery, segment, name, check_embeddings);
  if (check_embeddings) {
    const size_t values = segment.images * identity.embed_dim;
    const bool finite = half_embeddings_ ? all_finite(reinterpret_cast<const uint16_t*>(embeddings_.data()), values)
                                         : all_finite(reinterpret_cast<const float*>(embeddings_.data()), values);
    if (!finite) {
      throw Error(CFACK_ERROR_GALLERY, folder + name + ": holds numbers that are not finite; index the images again");
    }
    embeddings_.give_back();
  }
  if (identity.token_count == 0) return;
  const bool small = segment.find(kSmallTokens) != nullptr;
  tokens_ = open_file_of(gallery, segment, small ? kSmallTokens : kTokens, false);
  if (small) scales_ = open_file_of(gallery, segment, kTokenScales, false);
}

void OpenSegment::read_tokens(size_t row, const Identity& identity, DType type, void* out) const {
  const size_t values = identity.token_values(), count = identity.token_count;
  if (scales_.data() == nullptr) {
    const auto* from = reinterpret_cast<const uint16_t*>(tokens_.data()) + row * values;
    convert_tokens(from, DType::kFloat16, out, type, values);
  } else {
    const auto* from = reinterpret_cast<const int8_t*>(tokens_.data()) + row * values;
    const auto* scales = reinterpret_cast<const float*>(scales_.data()) + row * count;
    dequantize_tokens(from, scales, count, identity.token_width, type, out);
    scales_.give_back();
  }
  tokens_.give_back();
}

}  // namespace cfack
