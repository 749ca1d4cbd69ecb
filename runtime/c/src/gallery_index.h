// What gallery.json and images.jsonl say; docs/gallery.md specifies both.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "json.h"
#include "manifest.h"

namespace cfack {

inline constexpr const char* kGalleryIndex = "gallery.json";
inline constexpr const char* kSegments = "segments";
// Files of a segment. Embeddings are in one of two, tokens in one of the two or in numbers and scales.
inline constexpr const char* kImages = "images.jsonl";
inline constexpr const char* kEmbeddings = "embeddings.f32";
inline constexpr const char* kHalfEmbeddings = "embeddings.f16";
inline constexpr const char* kTokens = "tokens.f16";
inline constexpr const char* kSmallTokens = "tokens.i8";
inline constexpr const char* kTokenScales = "tokens.scale";
constexpr uint64_t kLargestIndex = 256 << 20;

// What all images of a gallery have in common.
struct Identity {
  std::string embedding_space;
  uint32_t embed_dim = 0;
  uint32_t token_count = 0;  // 0: no tokens are kept
  uint32_t token_width = 0;
  std::string bundle;
  std::string root;

  uint64_t token_values() const { return static_cast<uint64_t>(token_count) * token_width; }
};

// How a segment keeps its numbers.
struct Layout {
  enum class Tokens { kNone, kFloat16, kInt8 };

  bool half_embeddings = false;
  Tokens tokens = Tokens::kNone;

  // The names of its files, images.jsonl first and embeddings next.
  std::vector<const char*> files() const;
};

// Images that were added together; the files never change.
struct Segment {
  std::string name;
  uint64_t images = 0;  // rows, removed ones included
  std::string precision;
  std::vector<FileEntry> files;
  std::vector<int64_t> removed;  // ascending

  const FileEntry* find(std::string_view path) const;
  Layout layout() const;
};

struct GalleryIndex {
  Identity identity;
  std::vector<Segment> segments;
};

// One image, told apart by its path.
struct ImageRecord {
  std::string path;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  std::string metadata;  // a JSON object
};

// Both throw Error(CFACK_ERROR_GALLERY).
GalleryIndex parse_gallery_index(std::string_view json, const std::string& source);
std::vector<ImageRecord> parse_images(std::string_view lines, const std::string& source);

// The bytes that Python writes for the same content.
std::string gallery_index_bytes(const GalleryIndex& index);
std::string image_line(const ImageRecord& image);

// An object of numbers, strings and booleans, written as Python writes it. Throws Error(code).
std::string flat_object(const Fields& object, int code);

}  // namespace cfack
