#include "gallery_segment_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "error.h"
#include "half.h"
#include "tokens.h"

namespace fs = std::filesystem;

namespace cfack {
namespace {

constexpr size_t kImageLines = 0, kEmbeddingRows = 1, kTokenRows = 2, kScaleRows = 3;  // places in Layout::files

std::string next_name(const GalleryIndex& index) {
  long long highest = 0;
  for (const Segment& segment : index.segments) highest = std::max(highest, std::stoll(segment.name));
  char number[24];
  std::snprintf(number, sizeof number, "%06lld", highest + 1);
  return std::string(number) + "-" + random_hex(8);
}

[[noreturn]] void refuse(const ImageRecord& image, const char* what) {
  throw Error(CFACK_ERROR_BACKEND, std::string("the ") + what + " of " + image.path +
                                       " are too large for what a gallery keeps them in; index in FP32, without "
                                       "tokens");
}

}  // namespace

SegmentWriter::SegmentWriter(const std::string& gallery, const GalleryIndex& index, Layout layout)
    : identity_(index.identity), layout_(layout), segments_(gallery + "/" + kSegments), name_(next_name(index)) {
  const std::string folder = segments_ + "/." + name_ + ".tmp";
  fs::create_directories(folder);
  for (const char* name : layout.files()) {
    File file;
    file.name = name;
    file.descriptor = Descriptor(open((folder + "/" + name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (file.descriptor.get() < 0) throw std::system_error(errno, std::generic_category());
    files_.push_back(std::move(file));
  }
}

SegmentWriter::~SegmentWriter() {
  if (finished_) return;
  std::error_code error;
  fs::remove_all(segments_ + "/." + name_ + ".tmp", error);
}

void SegmentWriter::add(const TensorView& embeddings, const TensorView& tokens, const ImageRecord* records,
                        size_t count) {
  std::string lines;
  for (size_t i = 0; i < count; ++i) lines += image_line(records[i]);
  files_[kImageLines].rows.assign(lines.begin(), lines.end());
  fill_embeddings(embeddings, records, count);
  if (layout_.tokens != Layout::Tokens::kNone) fill_tokens(tokens, records, count);
  for (File& file : files_) {
    write_all(file.descriptor.get(), file.rows.data(), file.rows.size());
    file.hash.update(file.rows.data(), file.rows.size());
    file.size += file.rows.size();
  }
  images_ += count;
}

void SegmentWriter::fill_embeddings(const TensorView& embeddings, const ImageRecord* records, size_t count) {
  const size_t dim = identity_.embed_dim;
  std::vector<uint8_t>& rows = files_[kEmbeddingRows].rows;
  if (!layout_.half_embeddings) {
    rows.resize(count * dim * sizeof(float));
    std::memcpy(rows.data(), embeddings.data, rows.size());
    return;
  }
  rows.resize(count * dim * sizeof(uint16_t));
  auto* halves = reinterpret_cast<uint16_t*>(rows.data());
  float_to_half(static_cast<const float*>(embeddings.data), halves, count * dim);
  for (size_t i = 0; i < count; ++i) {
    if (!all_finite(halves + i * dim, dim)) refuse(records[i], "embedding numbers");
  }
}

void SegmentWriter::fill_tokens(const TensorView& tokens, const ImageRecord* records, size_t count) {
  const size_t values = identity_.token_values();
  std::vector<uint8_t>& rows = files_[kTokenRows].rows;
  if (layout_.tokens == Layout::Tokens::kFloat16) {
    rows.resize(count * values * sizeof(uint16_t));
    auto* halves = reinterpret_cast<uint16_t*>(rows.data());
    convert_tokens(tokens.data, tokens.dtype, halves, DType::kFloat16, count * values);
    for (size_t i = 0; i < count; ++i) {
      if (!all_finite(halves + i * values, values)) refuse(records[i], "image tokens");
    }
    return;
  }
  std::vector<uint8_t>& scales = files_[kScaleRows].rows;
  rows.resize(count * values);
  scales.resize(count * identity_.token_count * sizeof(float));
  wide_.resize(values);
  for (size_t i = 0; i < count; ++i) {
    const auto* from = static_cast<const uint8_t*>(tokens.data) + i * values * dtype_size(tokens.dtype);
    convert_tokens(from, tokens.dtype, wide_.data(), DType::kFloat32, values);
    if (!quantize_tokens(wide_.data(), identity_.token_count, identity_.token_width,
                         reinterpret_cast<int8_t*>(rows.data()) + i * values,
                         reinterpret_cast<float*>(scales.data()) + i * identity_.token_count)) {
      refuse(records[i], "image tokens");
    }
  }
}

Segment SegmentWriter::finish(const std::string& precision) {
  const std::string folder = segments_ + "/." + name_ + ".tmp";
  Segment segment;
  segment.name = name_;
  segment.images = images_;
  segment.precision = precision;
  for (File& file : files_) {
    if (fsync(file.descriptor.get()) != 0) throw std::system_error(errno, std::generic_category());
    segment.files.push_back({file.name, file.hash.hex_digest(), file.size});
  }
  sync_folder(folder);
  fs::rename(folder, segments_ + "/" + name_);
  finished_ = true;
  sync_folder(segments_);
  return segment;
}

}  // namespace cfack
