#include "gallery_writer.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "contained.h"
#include "encoders.h"
#include "error.h"
#include "gallery_folder.h"

namespace cfack {

GalleryWriter::GalleryWriter(const std::string& path, std::shared_ptr<const Bundle> bundle, const std::string& root,
                             Keeping keeping)
    : path_(absolute_path(path)), bundle_(std::move(bundle)) {
  const Geometry& g = bundle_->geometry();
  const bool keep_tokens = keeping.tokens != CFACK_TOKENS_NONE;
  Identity& identity = index_.identity;
  identity.embedding_space = bundle_->embedding_space();
  identity.embed_dim = g.embed_dim;
  identity.token_count = keep_tokens ? g.image_token_count : 0;
  identity.token_width = keep_tokens ? g.image_token_width : 0;
  identity.bundle = bundle_->path();
  identity.root = absolute_path(root);
  lock_ = lock_gallery(path_);
  try {
    load();
    layout_ = choose_layout(path_, index_, keeping.embeddings, keeping.tokens);
    require_measured(keeping);
  } catch (...) {
    remove_unused(path_);
    throw;
  }
  remove_leftovers(path_, index_);
}

void GalleryWriter::load() {
  if (!path_exists(path_ + "/" + kGalleryIndex)) return;
  const auto gallery = Gallery::open(path_);
  require_same(path_, gallery->identity(), index_.identity);
  index_.segments = gallery->index().segments;
  for (size_t i = 0; i < gallery->size(); ++i) {
    const RowPlace place = gallery->embeddings().place(i);
    known_[gallery->image(i).path] = {place.segment, place.row, gallery->image(i)};
  }
}

// What a gallery has already, nobody is asked about.
void GalleryWriter::require_measured(Keeping keeping) const {
  const std::optional<bool> passed = bundle_->int8_tokens_passed();
  if (layout_.tokens != Layout::Tokens::kInt8 || !index_.segments.empty() || keeping.allow_unmeasured ||
      passed.value_or(false)) {
    return;
  }
  throw Error(CFACK_ERROR_INVALID, "tokens in INT8 are refused: the parity gate of " + bundle_->path() +
                                       (passed ? " failed on" : " has not measured") + " them in precision " +
                                       bundle_->precision() +
                                       ", so nobody knows what re-ranking loses; keep them in FP16, or set "
                                       "allow_unmeasured");
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
  const Geometry& g = bundle_->geometry();
  const size_t bytes = static_cast<size_t>(g.image_height) * g.image_width * 3;
  const size_t batch = bundle_->images_per_call();
  RunResult encoded;
  for (size_t start = 0; start < records.size(); start += batch) {
    const size_t count = std::min(batch, records.size() - start);
    run_image_encoder(*bundle_, pixels + start * bytes, count, &encoded);
    try {
      if (pending_ == nullptr) pending_ = std::make_unique<SegmentWriter>(path_, index_, layout_);
      pending_->add(encoded.get("image_embedding"), encoded.get("image_tokens"), records.data() + start, count);
    } catch (const std::system_error& error) {
      fail_to_write(error);
    }
    for (size_t i = start; i < start + count; ++i) {
      records_.push_back(records[i]);
      pending_paths_.insert(records[i].path);
    }
  }
}

void GalleryWriter::commit() {
  if (records_.empty()) return;
  try {
    GalleryIndex index = index_;
    mark_removed(&index, {pending_paths_.begin(), pending_paths_.end()});
    index.segments.push_back(pending_->finish(bundle_->precision()));
    store(std::move(index));
  } catch (const std::system_error& error) {
    fail_to_write(error);
  }
  const size_t number = index_.segments.size() - 1;
  for (size_t row = 0; row < records_.size(); ++row) {
    const std::string path = records_[row].path;
    known_[path] = {number, row, std::move(records_[row])};
  }
  discard();
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
  pending_.reset();
  records_.clear();
  pending_paths_.clear();
}

void GalleryWriter::fail_to_write(const std::exception& error) {
  const std::string reason = error.what();
  discard();
  throw Error(CFACK_ERROR_GALLERY, path_ + ": cannot be written: " + reason + ". The " +
                                       std::to_string(known_.size()) +
                                       " images committed before are safe; make room and run the same again");
}

void GalleryWriter::close() {
  discard();
  remove_unused(path_);
}

}  // namespace cfack
