#include "gallery_index.h"

#include <algorithm>
#include <set>

#include "contained.h"
#include "error.h"
#include "files.h"

namespace cfack {
namespace {

constexpr int64_t kMostImages = int64_t{1} << 32;
constexpr int64_t kLargestFile = int64_t{1} << 44;
constexpr int64_t kLargestVersion = int64_t{1} << 31;

bool is_segment_name(const std::string& name) {
  const size_t dash = name.find('-');
  return dash >= 6 && dash <= 12 && name.size() == dash + 9 &&
         std::all_of(name.begin(), name.begin() + static_cast<std::ptrdiff_t>(dash),
                     [](char c) { return c >= '0' && c <= '9'; }) &&
         name.find_first_not_of("0123456789abcdef", dash + 1) == std::string::npos;
}

std::vector<int64_t> read_removed(const Fields& entry, uint64_t images) {
  std::vector<int64_t> rows;
  for (const Json& row : entry.list("removed")) {
    const int64_t number = row.type == Json::Type::kInteger ? row.integer() : -1;
    const bool fits =
        number >= 0 && static_cast<uint64_t>(number) < images && (rows.empty() || number > rows.back());
    if (!fits) entry.fail("removed must be ascending rows below " + std::to_string(images));
    rows.push_back(number);
  }
  return rows;
}

// Embeddings are f32 or f16; tokens f16, or i8 with their scales.
void check_files(const Fields& entry, const Segment& segment, const Identity& identity) {
  const auto has = [&](const char* path) { return segment.find(path) != nullptr; };
  const bool half = has(kHalfEmbeddings), keeps = identity.token_count != 0, small = has(kSmallTokens);
  std::vector<std::pair<const char*, uint64_t>> wanted;
  const uint64_t n = segment.images;
  wanted.emplace_back(half ? kHalfEmbeddings : kEmbeddings, n * identity.embed_dim * (half ? 2 : 4));
  if (keeps && small) {
    wanted.emplace_back(kSmallTokens, n * identity.token_values());
    wanted.emplace_back(kTokenScales, n * identity.token_count * 4);
  } else if (keeps) {
    wanted.emplace_back(kTokens, n * identity.token_values() * 2);
  }
  bool complete = segment.files.size() == wanted.size() + 1 && has(kImages);
  for (const auto& file : wanted) complete = complete && has(file.first);
  if (!complete) entry.fail("files are not those that the gallery's segments have");
  for (const auto& [path, size] : wanted) {
    if (segment.find(path)->size != size) {
      entry.fail(std::string(path) + " must have " + std::to_string(size) + " bytes for " + std::to_string(n) +
                 " images");
    }
  }
}

Segment read_segment(const Fields& entry, const Identity& identity) {
  Segment segment;
  segment.name = entry.text("name");
  if (!is_segment_name(segment.name)) {
    entry.fail("name is " + in_quotes(segment.name) + ", which is no valid name");
  }
  segment.images = static_cast<uint64_t>(entry.integer("images", 1, kMostImages));
  segment.removed = read_removed(entry, segment.images);
  for (const Fields& file : entry.objects("files")) {
    segment.files.push_back({file.text("path"), file.sha256("sha256"),
                             static_cast<uint64_t>(file.integer("size", 1, kLargestFile))});
  }
  check_files(entry, segment, identity);
  segment.precision = entry.text("precision");
  return segment;
}

Identity read_identity(const Fields& top) {
  Identity identity;
  identity.embedding_space = top.sha256("embedding_space");
  identity.embed_dim = static_cast<uint32_t>(top.integer("embed_dim", 1, 1 << 16));
  if (top.optional("image_tokens")) {
    const Fields tokens = top.object("image_tokens");
    identity.token_count = static_cast<uint32_t>(tokens.integer("count", 2, 1 << 20));
    identity.token_width = static_cast<uint32_t>(tokens.integer("width", 1, 1 << 16));
  }
  identity.bundle = top.text("bundle");
  identity.root = top.text("root");
  return identity;
}

std::string written(const Json& value) {
  if (value.type == Json::Type::kString) return json_string(value.text);
  if (value.type == Json::Type::kBoolean) return value.boolean ? "true" : "false";
  return value.text;
}

}  // namespace

const FileEntry* Segment::find(std::string_view path) const {
  for (const FileEntry& file : files) {
    if (file.path == path) return &file;
  }
  return nullptr;
}

Layout Segment::layout() const {
  Layout found;
  found.half_embeddings = find(kHalfEmbeddings) != nullptr;
  if (find(kTokens) != nullptr) found.tokens = Layout::Tokens::kFloat16;
  if (find(kSmallTokens) != nullptr) found.tokens = Layout::Tokens::kInt8;
  return found;
}

std::vector<const char*> Layout::files() const {
  std::vector<const char*> names = {kImages, half_embeddings ? kHalfEmbeddings : kEmbeddings};
  if (tokens == Tokens::kFloat16) names.push_back(kTokens);
  if (tokens == Tokens::kInt8) names.insert(names.end(), {kSmallTokens, kTokenScales});
  return names;
}

GalleryIndex parse_gallery_index(std::string_view text, const std::string& source) {
  const Json json = parse_object(text, source, CFACK_ERROR_GALLERY);
  const Fields top(json, source, CFACK_ERROR_GALLERY);
  if (top.text("format") != "cfack-gallery") {
    top.fail("format is " + in_quotes(top.text("format")) + ", expected 'cfack-gallery'; this is no gallery");
  }
  const int64_t version = top.integer("format_version", 0, kLargestVersion);
  if (version != 1) {
    top.fail("format version " + std::to_string(version) +
             ", but this is a reader of version 1; index the images again, or install the CFACK that wrote the "
             "gallery");
  }
  GalleryIndex index;
  index.identity = read_identity(top);
  std::set<std::string> names;
  for (const Fields& entry : top.objects("segments")) {
    index.segments.push_back(read_segment(entry, index.identity));
    if (!names.insert(index.segments.back().name).second) top.fail("a segment is listed twice");
  }
  return index;
}

std::vector<ImageRecord> parse_images(std::string_view lines, const std::string& source) {
  std::vector<ImageRecord> images;
  while (!lines.empty()) {
    const size_t end = lines.find('\n');
    if (end == std::string_view::npos) throw Error(CFACK_ERROR_GALLERY, source + ": does not end with a line feed");
    const std::string where = source + ", line " + std::to_string(images.size() + 1);
    const Json json = parse_object(lines.substr(0, end), where, CFACK_ERROR_GALLERY);
    const Fields line(json, where, CFACK_ERROR_GALLERY);
    ImageRecord image;
    image.path = line.text("path");
    if (!is_contained(image.path)) {
      line.fail("path " + in_quotes(image.path) + " is no relative path inside the gallery's root");
    }
    image.metadata = flat_object(line.object("metadata"), CFACK_ERROR_GALLERY);
    image.size = static_cast<uint64_t>(line.integer("size", 0, kLargestFile));
    image.mtime_ns = line.integer("mtime_ns", INT64_MIN, INT64_MAX);
    images.push_back(std::move(image));
    lines.remove_prefix(end + 1);
  }
  return images;
}

std::string flat_object(const Fields& object, int code) {
  std::string text = "{";
  for (const auto& [name, value] : object.members()) {
    if (!value.is_scalar()) {
      throw Error(code, object.where() + ": " + name.substr(0, 80) + " is no number, string or boolean");
    }
    text += (text.size() == 1 ? "" : ", ") + json_string(name) + ": " + written(value);
  }
  return text + "}";
}

std::string image_line(const ImageRecord& image) {
  return "{\"path\": " + json_string(image.path) + ", \"size\": " + std::to_string(image.size) +
         ", \"mtime_ns\": " + std::to_string(image.mtime_ns) + ", \"metadata\": " + image.metadata + "}\n";
}

std::string gallery_index_bytes(const GalleryIndex& index) {
  const Identity& id = index.identity;
  std::string text = "{\n  \"format\": \"cfack-gallery\",\n  \"format_version\": 1,\n  \"embedding_space\": \"" +
                     id.embedding_space + "\",\n  \"embed_dim\": " + std::to_string(id.embed_dim) +
                     ",\n  \"image_tokens\": ";
  if (id.token_count == 0) {
    text += "null";
  } else {
    text += "{\n    \"count\": " + std::to_string(id.token_count) + ",\n    \"width\": " +
            std::to_string(id.token_width) + "\n  }";
  }
  text += ",\n  \"bundle\": " + json_string(id.bundle) + ",\n  \"root\": " + json_string(id.root) +
          ",\n  \"segments\": [";
  for (size_t i = 0; i < index.segments.size(); ++i) {
    const Segment& segment = index.segments[i];
    text += std::string(i == 0 ? "" : ",") + "\n    {\n      \"name\": \"" + segment.name + "\",\n      \"images\": " +
            std::to_string(segment.images) + ",\n      \"precision\": " + json_string(segment.precision) +
            ",\n      \"files\": [";
    for (size_t f = 0; f < segment.files.size(); ++f) {
      const FileEntry& file = segment.files[f];
      text += std::string(f == 0 ? "" : ",") + "\n        {\n          \"path\": " + json_string(file.path) +
              ",\n          \"sha256\": \"" + file.sha256 + "\",\n          \"size\": " + std::to_string(file.size) +
              "\n        }";
    }
    text += "\n      ],\n      \"removed\": [";
    for (size_t r = 0; r < segment.removed.size(); ++r) {
      text += (r == 0 ? "\n        " : ",\n        ") + std::to_string(segment.removed[r]);
    }
    text += std::string(segment.removed.empty() ? "]" : "\n      ]") + "\n    }";
  }
  return text + (index.segments.empty() ? "]\n}\n" : "\n  ]\n}\n");
}

}  // namespace cfack
