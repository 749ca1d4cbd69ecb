#include "gallery_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "cfack.h"
#include "error.h"
#include "gallery.h"

namespace fs = std::filesystem;

namespace cfack {
namespace {

constexpr const char* kLock = ".lock";

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

// Refuse a kind of numbers that is not the gallery's.
void require_kind(const std::string& path, const char* name, const char* wanted, const char* found) {
  if (std::string(wanted) == found) return;
  throw Error(CFACK_ERROR_GALLERY, path + ": keeps " + name + " in " + found + ", not in " + wanted +
                                       "; ask for the same again, or give another gallery");
}

const char* kind_name(Layout::Tokens tokens) { return tokens == Layout::Tokens::kInt8 ? "int8" : "fp16"; }

}  // namespace

Descriptor lock_gallery(const std::string& path) {
  require_own(path);
  const std::string name = path + "/" + kLock;
  Descriptor lock;
  do {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) throw Error(CFACK_ERROR_GALLERY, path + ": cannot be written: " + error.message());
    lock = Descriptor(open(name.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
    if (lock.get() < 0) {
      throw Error(CFACK_ERROR_GALLERY, path + ": cannot be written: " + system_message(errno));
    }
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) {
        throw Error(CFACK_ERROR_GALLERY, path + ": another process is writing to it; wait until it has ended");
      }
      throw Error(CFACK_ERROR_GALLERY, path + ": cannot be locked for writing: " + system_message(errno));
    }
    // A writer that had nothing to keep may have removed the folder between the two calls.
  } while (!same_file(name, lock.get()));
  return lock;
}

void remove_leftovers(const std::string& path, const GalleryIndex& index) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path + "/" + kSegments, error)) {
    const std::string name = entry.path().filename().string();
    const bool listed = std::any_of(index.segments.begin(), index.segments.end(),
                                    [&name](const Segment& segment) { return segment.name == name; });
    if (!listed) fs::remove_all(entry.path(), error);
  }
  for (const auto& entry : fs::directory_iterator(path, error)) {
    const std::string name = entry.path().filename().string();
    if (is_temporary_index(name)) fs::remove(entry.path(), error);
  }
}

void remove_unused(const std::string& path) {
  if (path_exists(path + "/" + kGalleryIndex)) return;
  std::error_code error;
  fs::remove(path + "/" + kLock, error);
  fs::remove(path + "/" + kSegments, error);
  fs::remove(path, error);
}

Layout choose_layout(const std::string& path, const GalleryIndex& index, int embeddings, int tokens) {
  Layout wanted;
  wanted.half_embeddings = embeddings == CFACK_EMBEDDINGS_FP16;
  if (index.identity.token_count != 0) {
    wanted.tokens = tokens == CFACK_TOKENS_INT8 ? Layout::Tokens::kInt8 : Layout::Tokens::kFloat16;
  }
  if (index.segments.empty()) return wanted;
  const Layout found = index.segments.back().layout();
  if (embeddings != CFACK_EMBEDDINGS_DEFAULT) {
    require_kind(path, "embeddings", wanted.half_embeddings ? "fp16" : "fp32", found.half_embeddings ? "fp16" : "fp32");
  }
  if (tokens == CFACK_TOKENS_FP16 || tokens == CFACK_TOKENS_INT8) {
    require_kind(path, "tokens", kind_name(wanted.tokens), kind_name(found.tokens));
  }
  return found;
}

void require_same(const std::string& path, const Identity& found, const Identity& wanted) {
  require_same_space(path, found, wanted.embedding_space, wanted.bundle);
  if (found.root != wanted.root) {
    throw Error(CFACK_ERROR_GALLERY, path + ": holds the images of " + found.root + ", not of " + wanted.root +
                                         "; give another gallery");
  }
  if (found.token_count == wanted.token_count && found.token_width == wanted.token_width) return;
  throw Error(CFACK_ERROR_GALLERY, path + ": was made with " +
                                       (found.token_count == 0 ? "no image tokens" : "image tokens") +
                                       ", which holds for all of its images; ask for the same again, or give "
                                       "another gallery");
}

}  // namespace cfack
