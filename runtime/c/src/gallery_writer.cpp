#include "gallery_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "encoders.h"
#include "error.h"
#include "half.h"

namespace fs = std::filesystem;

namespace cfack {
namespace {

constexpr const char* kLock = ".lock";
constexpr const char* kImages = "images.jsonl";
constexpr const char* kEmbeddings = "embeddings.f32";
constexpr const char* kTokens = "tokens.f16";

bool is_temporary_index(const std::string& name) {
  return name.rfind(std::string(".") + kGalleryIndex + ".", 0) == 0;
}

// Refuse a folder that holds something else than a gallery.
void require_own(const std::string& path) {
  if (path_exists(path) && !is_folder(path)) {
    throw Error(CFACK_ERROR_GALLERY, path + ": is a file; give the gallery another path");
  }
  if (!is_folder(path) || path_exists(path + "/" + kGalleryIndex)) return;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    const std::string name = entry.path().filename().string();
    if (name == kLock || name == kSegments || is_temporary_index(name)) continue;
    throw Error(CFACK_ERROR_GALLERY,
                path + ": is no gallery and not empty (it holds '" + name + "'); choose another folder");
  }
}

bool same_file(const std::string& path, int descriptor) {
  struct stat named {}, opened {};
  return stat(path.c_str(), &named) == 0 && fstat(descriptor, &opened) == 0 && named.st_ino == opened.st_ino &&
         named.st_dev == opened.st_dev;
}

}  // namespace

GalleryWriter::GalleryWriter(const std::string& path, const Bundle& bundle, const std::string& root, bool keep_tokens)
    : path_(absolute_path(path)), bundle_(bundle) {
  const Geometry& g = bundle.geometry();
  Identity wanted;
  wanted.embedding_space = bundle.embedding_space();
  wanted.embed_dim = g.embed_dim;
  wanted.token_count = keep_tokens ? g.image_token_count : 0;
  wanted.token_width = keep_tokens ? g.image_token_width : 0;
  wanted.bundle = bundle.path();
  wanted.root = absolute_path(root);
  lock();
  load(wanted);
  remove_leftovers();
}

GalleryWriter::~GalleryWriter() { discard(); }

void GalleryWriter::lock() {
  require_own(path_);
  const std::string name = path_ + "/" + kLock;
  do {
    std::error_code error;
    fs::create_directories(path_, error);
    lock_ = Descriptor(open(name.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
    if (lock_.get() < 0) {
      throw Error(CFACK_ERROR_GALLERY, path_ + ": cannot be written: " + system_message(errno));
    }
    if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) {
        throw Error(CFACK_ERROR_GALLERY, path_ + ": another process is writing to it; wait until it has ended");
      }
      throw Error(CFACK_ERROR_GALLERY, path_ + ": cannot be locked for writing: " + system_message(errno));
    }
    // A writer that had nothing to keep may have removed the folder between the two calls.
  } while (!same_file(name, lock_.get()));
}

void GalleryWriter::load(const Identity& wanted) {
  index_.identity = wanted;
  if (!path_exists(path_ + "/" + kGalleryIndex)) return;
  const auto gallery = Gallery::open(path_);
  const Identity& found = gallery->identity();
  require_same_space(path_, found, wanted.embedding_space, wanted.bundle);
  if (found.root != wanted.root) {
    throw Error(CFACK_ERROR_GALLERY, path_ + ": holds the images of " + found.root + ", not of " + wanted.root +
                                         "; give another gallery");
  }
  if (found.token_count != wanted.token_count || found.token_width != wanted.token_width) {
    throw Error(CFACK_ERROR_GALLERY, path_ + ": was made with " +
                                         (found.token_count == 0 ? "no image tokens" : "image tokens") +
                                         ", which holds for all of its images; ask for the same again, or give "
                                         "another gallery");
  }
  index_.segments = gallery->index().segments;
  for (size_t i = 0; i < gallery->size(); ++i) {
    const Gallery::Place place = gallery->place(i);
    known_[gallery->image(i).path] = {place.segment, place.row, gallery->image(i)};
  }
}

void GalleryWriter::remove_leftovers() {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path_ + "/" + kSegments, error)) {
    const std::string name = entry.path().filename().string();
    const bool listed = std::any_of(index_.segments.begin(), index_.segments.end(),
                                    [&name](const Segment& segment) { return segment.name == name; });
    if (!listed) fs::remove_all(entry.path(), error);
  }
  for (const auto& entry : fs::directory_iterator(path_, error)) {
    const std::string name = entry.path().filename().string();
    if (is_temporary_index(name)) fs::remove(entry.path(), error);
  }
}

const ImageRecord* GalleryWriter::find(const std::string& path) const {
  const auto found = known_.find(path);
  return found == known_.end() ? nullptr : &found->second.record;
}

std::vector<std::string> GalleryWriter::paths() const {
  std::vector<std::string> found;
  for (const auto& image : known_) found.push_back(image.first);
  return found;
}

void GalleryWriter::add(const uint8_t* pixels, const std::vector<ImageRecord>& records) {
  std::set<std::string> fresh;
  for (const ImageRecord& record : records) {
    if (!is_contained(record.path) || pending_paths_.count(record.path) != 0 || !fresh.insert(record.path).second) {
      throw Error(CFACK_ERROR_INVALID,
                  "path " + in_quotes(record.path) + " is added twice, or is no relative path inside the root");
    }
  }
  const Geometry& g = bundle_.geometry();
  const size_t values = static_cast<size_t>(g.image_token_count) * g.image_token_width;
  const size_t bytes = static_cast<size_t>(g.image_height) * g.image_width * 3;
  std::vector<uint16_t> half;
  for (size_t start = 0; start < records.size(); start += kImageBatch) {
    const size_t count = std::min(kImageBatch, records.size() - start);
    RunResult encoded;
    run_image_encoder(bundle_, pixels + start * bytes, count, &encoded);
    if (index_.identity.token_count != 0) {
      const TensorView& tokens = encoded.get("image_tokens");
      half.resize(count * values);
      convert_tokens(tokens.data, tokens.dtype, half.data(), DType::kFloat16, half.size());
      const auto broken = std::find_if(half.begin(), half.end(), [](uint16_t v) { return (v & 0x7c00u) == 0x7c00u; });
      if (broken != half.end()) {
        const size_t row = start + static_cast<size_t>(broken - half.begin()) / values;
        throw Error(CFACK_ERROR_BACKEND, "the image tokens of " + records[row].path +
                                             " are too large for FP16, in which a gallery keeps them; index without "
                                             "tokens");
      }
    }
    try {
      if (parts_.empty()) begin_segment();
      std::string lines;
      for (size_t i = 0; i < count; ++i) lines += image_line(records[start + i]);
      write(0, lines.data(), lines.size());
      write(1, encoded.get("image_embedding").data, count * g.embed_dim * sizeof(float));
      if (index_.identity.token_count != 0) write(2, half.data(), half.size() * 2);
    } catch (const std::system_error& error) {
      fail_to_write(error);
    }
    for (size_t i = 0; i < count; ++i) {
      records_.push_back(records[start + i]);
      pending_paths_.insert(records[start + i].path);
    }
  }
}

void GalleryWriter::begin_segment() {
  long long highest = 0;
  for (const Segment& segment : index_.segments) highest = std::max(highest, std::stoll(segment.name));
  char number[24];
  std::snprintf(number, sizeof number, "%06lld", highest + 1);
  name_ = std::string(number) + "-" + random_hex(8);
  const std::string folder = path_ + "/" + kSegments + "/." + name_ + ".tmp";
  fs::create_directories(folder);
  for (const char* name : {kImages, kEmbeddings, kTokens}) {
    if (name == kTokens && index_.identity.token_count == 0) continue;
    Part part;
    part.name = name;
    part.file = Descriptor(open((folder + "/" + name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (part.file.get() < 0) throw std::system_error(errno, std::generic_category());
    parts_.push_back(std::move(part));
  }
}

void GalleryWriter::write(size_t part, const void* data, uint64_t size) {
  write_all(parts_[part].file.get(), data, size);
  parts_[part].hash.update(data, size);
  parts_[part].size += size;
}

void GalleryWriter::commit() {
  if (parts_.empty()) return;
  try {
    const std::string segments = path_ + "/" + kSegments;
    const std::string folder = segments + "/." + name_ + ".tmp";
    Segment segment;
    segment.name = name_;
    segment.images = records_.size();
    segment.precision = bundle_.precision();
    for (Part& part : parts_) {
      if (fsync(part.file.get()) != 0) throw std::system_error(errno, std::generic_category());
      segment.files.push_back({part.name, part.hash.hex_digest(), part.size});
    }
    sync_folder(folder);
    fs::rename(folder, segments + "/" + name_);
    sync_folder(segments);
    GalleryIndex index = index_;
    mark_removed(&index, {pending_paths_.begin(), pending_paths_.end()});
    index.segments.push_back(std::move(segment));
    store(std::move(index));
  } catch (const std::system_error& error) {
    fail_to_write(error);
  }
  const size_t number = index_.segments.size() - 1;
  for (size_t row = 0; row < records_.size(); ++row) {
    const std::string path = records_[row].path;
    known_[path] = {number, row, std::move(records_[row])};
  }
  parts_.clear();
  records_.clear();
  pending_paths_.clear();
}

void GalleryWriter::remove(const std::vector<std::string>& paths) {
  commit();
  GalleryIndex index = index_;
  mark_removed(&index, paths);
  try {
    store(std::move(index));
  } catch (const std::system_error& error) {
    fail_to_write(error);
  }
  for (const std::string& path : paths) known_.erase(path);
}

void GalleryWriter::mark_removed(GalleryIndex* index, const std::vector<std::string>& paths) const {
  std::set<size_t> changed;
  for (const std::string& path : paths) {
    const auto found = known_.find(path);
    if (found == known_.end()) continue;
    index->segments[found->second.segment].removed.push_back(static_cast<int64_t>(found->second.row));
    changed.insert(found->second.segment);
  }
  for (const size_t segment : changed) {
    std::vector<int64_t>& rows = index->segments[segment].removed;
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  }
}

void GalleryWriter::store(GalleryIndex index) {
  if (index.segments.empty()) return;
  atomic_write(path_ + "/" + kGalleryIndex, gallery_index_bytes(index));
  index_ = std::move(index);
}

void GalleryWriter::discard() {
  if (parts_.empty()) return;
  parts_.clear();
  records_.clear();
  pending_paths_.clear();
  std::error_code error;
  fs::remove_all(path_ + "/" + kSegments + "/." + name_ + ".tmp", error);
}

void GalleryWriter::fail_to_write(const std::exception& error) {
  const std::string reason = error.what();
  discard();
  throw Error(CFACK_ERROR_GALLERY, path_ + ": cannot be written: " + reason + ". The " +
                                       std::to_string(known_.size()) +
                                       " images committed before are safe; make room and run the same again");
}

void GalleryWriter::remove_unused() {
  if (path_exists(path_ + "/" + kGalleryIndex)) return;
  discard();
  std::error_code error;
  fs::remove(path_ + "/" + kLock, error);
  fs::remove(path_ + "/" + kSegments, error);
  fs::remove(path_, error);
}

}  // namespace cfack
