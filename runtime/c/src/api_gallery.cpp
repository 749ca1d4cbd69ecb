// Entry points: gallery, writer, index.

#include <algorithm>
#include <memory>
#include <utility>

#include "error.h"
#include "handles.h"
#include "indexing.h"
#include "json.h"
#include "structs.h"

using cfack::Error;
using cfack::guarded;
using cfack::hold;
using cfack::require_given;

namespace {

constexpr size_t kLongestName = 100;

void require_place(const cfack::Gallery& gallery, uint64_t place) {
  if (place >= gallery.size()) {
    throw Error(CFACK_ERROR_NOT_FOUND, gallery.path() + ": has no image " + std::to_string(place) + ", only " +
                                           std::to_string(gallery.size()));
  }
}

// A filter could not ask for any other.
void require_field_name(const std::string& name, const std::string& source) {
  const auto begins = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; };
  const auto length = static_cast<size_t>(std::count_if(name.begin(), name.end(), begins));
  if (length >= 1 && length <= kLongestName && name != "path") return;
  throw Error(CFACK_ERROR_INVALID, source + ": the metadata field " + cfack::in_quotes(name) +
                                       " is refused; a name has 1 to 100 characters and is not 'path', which every "
                                       "image has");
}

cfack::ImageRecord read_record(const cfack_gallery_image* given, size_t index) {
  const std::string where = "records[" + std::to_string(index) + "]";
  require_given(given, where.c_str());
  const cfack_gallery_image defaults = CFACK_GALLERY_IMAGE_INIT;
  const cfack_gallery_image record = cfack::read_options(given, defaults, "cfack_gallery_image");
  require_given(record.path, (where + ".path").c_str());
  cfack::ImageRecord found;
  found.path = record.path;
  found.size = record.file_size;
  found.mtime_ns = record.mtime_ns;
  const std::string metadata = record.metadata_json == nullptr ? "{}" : record.metadata_json;
  const std::string source = where + ".metadata_json";
  const cfack::Json json = cfack::parse_object(metadata, source, CFACK_ERROR_INVALID);
  for (const auto& member : json.members) require_field_name(member.first, source);
  found.metadata = cfack::flat_object(cfack::Fields(json, source, CFACK_ERROR_INVALID), CFACK_ERROR_INVALID);
  return found;
}

template <typename Options>
cfack::Keeping read_keeping(const Options& options) {
  cfack::require_range("tokens", options.tokens, CFACK_TOKENS_NONE, CFACK_TOKENS_INT8);
  cfack::require_range("embeddings", options.embeddings, CFACK_EMBEDDINGS_DEFAULT, CFACK_EMBEDDINGS_FP16);
  cfack::require_range("allow_unmeasured", options.allow_unmeasured, 0, 1);
  return {options.tokens, options.embeddings, options.allow_unmeasured != 0};
}

}  // namespace

int cfack_gallery_open(cfack_gallery** out, const char* path) {
  return guarded([&] {
    require_given(out, "out");
    *out = nullptr;
    require_given(path, "path");
    auto handle = std::make_unique<cfack_gallery>();
    handle->gallery = cfack::Gallery::open(path);
    *out = handle.release();
  });
}

int cfack_gallery_get_info(cfack_gallery_info* out, const cfack_gallery* gallery) {
  return guarded([&] {
    require_given(out, "out");
    const auto held = hold(gallery);
    const cfack::Gallery& g = *held;
    const cfack::Identity& id = g.identity();
    const cfack_gallery_info info = {sizeof info,       g.path().c_str(), id.embedding_space.c_str(),
                                     id.bundle.c_str(), id.root.c_str(),  g.size(),
                                     id.embed_dim,      id.token_count,   id.token_width,
                                     0};
    cfack::write_struct(out, info, "cfack_gallery_info");
  });
}

int cfack_gallery_get_image(cfack_gallery_image* out, const cfack_gallery* gallery, uint64_t place) {
  return guarded([&] {
    require_given(out, "out");
    const auto held = hold(gallery);
    require_place(*held, place);
    const cfack::ImageRecord& image = held->image(place);
    const cfack_gallery_image found = {sizeof found, image.path.c_str(), image.metadata.c_str(), image.size,
                                       image.mtime_ns};
    cfack::write_struct(out, found, "cfack_gallery_image");
  });
}

int cfack_gallery_find(uint64_t* out, const cfack_gallery* gallery, const char* path) {
  return guarded([&] {
    require_given(out, "out");
    const auto held = hold(gallery);
    require_given(path, "path");
    const size_t place = held->find(path);
    if (place == held->size()) {
      throw Error(CFACK_ERROR_NOT_FOUND, held->path() + ": has no image " + cfack::in_quotes(path));
    }
    *out = place;
  });
}

int cfack_gallery_get_embedding(float* out, const cfack_gallery* gallery, uint64_t place) {
  return guarded([&] {
    require_given(out, "out");
    const auto held = hold(gallery);
    require_place(*held, place);
    const cfack::Embeddings& embeddings = held->embeddings();
    const float* row = embeddings.row(place, out);
    if (row != out) std::copy_n(row, embeddings.dim(), out);
  });
}

void cfack_gallery_free(cfack_gallery* gallery) { delete gallery; }

int cfack_writer_options_init(cfack_writer_options* options) {
  return guarded([&] {
    require_given(options, "options");
    *options = CFACK_WRITER_OPTIONS_INIT;
  });
}

int cfack_writer_open(cfack_writer** out, const char* path, const cfack_bundle* bundle,
                      const cfack_writer_options* given) {
  return guarded([&] {
    require_given(out, "out");
    *out = nullptr;
    require_given(path, "path");
    auto held = hold(bundle);
    const cfack_writer_options defaults = CFACK_WRITER_OPTIONS_INIT;
    const cfack_writer_options options = cfack::read_options(given, defaults, "cfack_writer_options");
    const cfack::Keeping keeping = read_keeping(options);
    cfack::require_range("reserved", options.reserved, 0, 0);
    auto handle = std::make_unique<cfack_writer>();
    handle->writer = std::make_unique<cfack::GalleryWriter>(
        path, std::move(held), options.root == nullptr ? path : options.root, keeping);
    *out = handle.release();
  });
}

int cfack_writer_add(cfack_writer* writer, const cfack_images* images, const cfack_gallery_image* const* records) {
  return guarded([&] {
    require_given(writer, "writer");
    require_given(images, "images");
    if (images->count == 0) return;
    require_given(records, "records");
    const cfack::Geometry& g = writer->writer->bundle().geometry();
    if (images->height != g.image_height || images->width != g.image_width) {
      throw Error(CFACK_ERROR_INVALID, "the images are of another size than the bundle takes");
    }
    std::vector<cfack::ImageRecord> read;
    for (size_t i = 0; i < images->count; ++i) read.push_back(read_record(records[i], i));
    writer->writer->add(images->pixels.data(), read);
  });
}

int cfack_writer_remove(cfack_writer* writer, const char* const* paths, size_t count) {
  return guarded([&] {
    require_given(writer, "writer");
    if (count != 0) require_given(paths, "paths");
    std::vector<std::string> read;
    for (size_t i = 0; i < count; ++i) {
      require_given(paths[i], "a path");
      read.emplace_back(paths[i]);
    }
    writer->writer->remove(read);
  });
}

int cfack_writer_commit(cfack_writer* writer) {
  return guarded([&] {
    require_given(writer, "writer");
    writer->writer->commit();
  });
}

int cfack_writer_close(cfack_writer* writer) {
  const std::unique_ptr<cfack_writer> owned(writer);
  return guarded([&] {
    require_given(writer, "writer");
    writer->writer->commit();
    writer->writer->close();
  });
}

void cfack_writer_free(cfack_writer* writer) {
  const std::unique_ptr<cfack_writer> owned(writer);
  if (writer != nullptr) guarded([&] { writer->writer->close(); });
}

int cfack_index_options_init(cfack_index_options* options) {
  return guarded([&] {
    require_given(options, "options");
    *options = CFACK_INDEX_OPTIONS_INIT;
  });
}

int cfack_index_folder(cfack_index_report* report, const cfack_bundle* bundle, const char* folder,
                       const char* gallery, const cfack_index_options* given) {
  return guarded([&] {
    auto held = hold(bundle);
    require_given(folder, "folder");
    require_given(gallery, "gallery");
    const cfack_index_options defaults = CFACK_INDEX_OPTIONS_INIT;
    const cfack_index_options options = cfack::read_options(given, defaults, "cfack_index_options");
    read_keeping(options);
    if (report != nullptr) cfack::require_size(report, "cfack_index_report");
    const cfack::IndexReport done = cfack::index_folder(std::move(held), folder, gallery, options);
    if (report == nullptr) return;
    const cfack_index_report filled = {sizeof filled, done.images,  done.added,  done.unchanged,
                                       done.removed,  done.skipped, done.seconds};
    cfack::write_struct(report, filled, "cfack_index_report");
  });
}
