#include "indexing.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <set>
#include <utility>

#include "error.h"
#include "image.h"

namespace fs = std::filesystem;

namespace cfack {
namespace {

constexpr size_t kSegmentImages = 1024;
constexpr double kSegmentSeconds = 60;
constexpr uint64_t kLargestImageFile = uint64_t{1} << 31;
constexpr const char* kSuffixes[] = {".bmp", ".jpeg", ".jpg", ".png", ".webp"};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

bool is_image_name(const std::string& name) {
  if (name[0] == '.') return false;
  std::string lower = name;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return std::any_of(std::begin(kSuffixes), std::end(kSuffixes), [&lower](const std::string& suffix) {
    return lower.size() >= suffix.size() && lower.compare(lower.size() - suffix.size(), suffix.size(), suffix) == 0;
  });
}

// Paths below `folder`, sorted by their parts. Links to folders are not followed.
void list_images(const std::string& folder, const fs::path& below, std::vector<fs::path>* found) {
  std::error_code error;
  fs::directory_iterator entries(fs::path(folder) / below, error);
  if (error) {
    throw Error(CFACK_ERROR_DATA, (fs::path(folder) / below).string() + ": cannot be listed: " + error.message());
  }
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    std::error_code ignored;
    const bool is_link = entry.is_symlink(ignored);
    if (entry.is_directory(ignored)) {
      if (!is_link && name[0] != '.') list_images(folder, below / name, found);
    } else if (is_image_name(name)) {
      found->push_back(below / name);
    }
  }
}

bool is_utf8(const std::string& text) {
  try {
    json_string(text);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

class Indexing {
 public:
  Indexing(std::shared_ptr<const Bundle> bundle, const std::string& folder, const std::string& gallery,
           const cfack_index_options& options)
      : folder_(absolute_path(folder)),
        options_(options),
        writer_(gallery, std::move(bundle), folder,
                {options.tokens, options.embeddings, options.allow_unmeasured != 0}) {}

  IndexReport run() {
    try {
      update();
    } catch (...) {
      // What was encoded is kept; if that fails too, the first error is the one to tell.
      try {
        writer_.commit();
        writer_.close();
      } catch (const Error&) {
      }
      throw;
    }
    return report_;
  }

 private:
  void update() {
    const double began = now();
    plan();
    encode_all();
    if (report_.added == 0 && report_.unchanged == 0) {
      throw Error(CFACK_ERROR_DATA, "none of the " + std::to_string(report_.skipped) + " image files in " + folder_ +
                                        " can be read; the first is " + first_skipped_);
    }
    writer_.commit();
    std::vector<std::string> gone;
    for (const std::string& path : writer_.paths()) {
      if (found_.count(path) == 0 || skipped_.count(path) != 0) gone.push_back(path);
    }
    if (!gone.empty()) writer_.remove(gone);
    report_.removed = gone.size();
    report_.images = writer_.size();
    report_.seconds = now() - began;
  }

  void plan() {
    if (!is_folder(folder_)) throw Error(CFACK_ERROR_DATA, folder_ + ": no such folder");
    std::vector<fs::path> files;
    list_images(folder_, "", &files);
    if (files.empty()) {
      throw Error(CFACK_ERROR_DATA, folder_ +
                                        ": holds no image; files that end in .bmp, .jpeg, .jpg, .png, .webp are "
                                        "looked at, in all folders below it");
    }
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
      ImageRecord record;
      record.path = file.generic_string();
      record.metadata = "{}";
      found_.insert(record.path);
      struct stat status {};
      if (!is_utf8(record.path)) {
        skip(record.path, "its name is not valid UTF-8; rename it");
      } else if (stat((folder_ + "/" + record.path).c_str(), &status) != 0) {
        skip(record.path, "cannot be opened: " + system_message(errno));
      } else {
        record.size = static_cast<uint64_t>(status.st_size);
        record.mtime_ns = static_cast<int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec;
        const ImageRecord* before = writer_.find(record.path);
        if (before != nullptr && before->size == record.size && before->mtime_ns == record.mtime_ns) {
          ++report_.unchanged;
        } else {
          if (before != nullptr) record.metadata = before->metadata;
          to_encode_.push_back(std::move(record));
        }
      }
    }
  }

  void encode_all() {
    const Geometry& g = writer_.bundle().geometry();
    const size_t bytes = static_cast<size_t>(g.image_height) * g.image_width * 3;
    double last_commit = now();
    std::vector<uint8_t> pixels;
    std::vector<ImageRecord> batch;
    for (size_t start = 0; start < to_encode_.size(); start += options_.batch_size) {
      const size_t end = std::min(to_encode_.size(), start + options_.batch_size);
      batch.clear();
      pixels.resize((end - start) * bytes);
      for (size_t i = start; i < end; ++i) {
        if (decode(to_encode_[i], pixels.data() + batch.size() * bytes)) batch.push_back(to_encode_[i]);
      }
      if (!batch.empty()) writer_.add(pixels.data(), batch);
      report_.added += batch.size();
      if (writer_.pending() >= kSegmentImages || now() - last_commit > kSegmentSeconds) {
        writer_.commit();
        last_commit = now();
      }
      if (options_.progress != nullptr && options_.progress(end, to_encode_.size(), options_.payload) != 0) {
        throw Error(CFACK_ERROR_CANCELLED, "indexing was stopped after " + std::to_string(end) + " of " +
                                               std::to_string(to_encode_.size()) +
                                               " files; run the same again to go on");
      }
    }
  }

  bool decode(const ImageRecord& record, uint8_t* out) {
    const Geometry& g = writer_.bundle().geometry();
    const std::string name = folder_ + "/" + record.path;
    try {
      const std::string data = read_file(name, kLargestImageFile, CFACK_ERROR_IMAGE);
      const Image image = decode_image(reinterpret_cast<const uint8_t*>(data.data()), data.size(), name);
      resize_rgb(image.pixels.data(), image.width, image.height, static_cast<size_t>(image.width) * 3,
                 static_cast<int>(g.image_width), static_cast<int>(g.image_height), out);
      return true;
    } catch (const Error& error) {
      if (error.code() != CFACK_ERROR_IMAGE && error.code() != CFACK_ERROR_INVALID) throw;
      const std::string reason = error.what();
      skip(record.path, reason.rfind(name + ": ", 0) == 0 ? reason.substr(name.size() + 2) : reason);
      return false;
    }
  }

  void skip(const std::string& path, const std::string& reason) {
    skipped_.insert(path);
    if (report_.skipped++ == 0) first_skipped_ = path + ": " + reason;
    if (options_.skipped != nullptr) options_.skipped(path.c_str(), reason.c_str(), options_.payload);
  }

  std::string folder_;
  const cfack_index_options& options_;
  GalleryWriter writer_;
  std::vector<ImageRecord> to_encode_;
  std::set<std::string> found_, skipped_;
  std::string first_skipped_;
  IndexReport report_;
};

}  // namespace

IndexReport index_folder(std::shared_ptr<const Bundle> bundle, const std::string& folder, const std::string& gallery,
                         const cfack_index_options& options) {
  if (options.batch_size < 1) throw Error(CFACK_ERROR_INVALID, "batch_size must be at least 1, got 0");
  return Indexing(std::move(bundle), folder, gallery, options).run();
}

}  // namespace cfack
