#include "mapped_file.h"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "error.h"
#include "files.h"

namespace cfack {
namespace {

// Smaller files are read: a process may have some 65,000 maps, and a gallery as many segments.
constexpr uint64_t kSmallestMap = 1 << 16;

}  // namespace

MappedFile::MappedFile(const std::string& path, int error_code) {
  const Descriptor file = open_file(path, error_code, &size_);
  if (size_ == 0) return;
  if (size_ < kSmallestMap) {
    copy_ = std::make_unique<uint8_t[]>(size_);
    size_ = read_all(file.get(), copy_.get(), size_, path, error_code);
    data_ = copy_.get();
    return;
  }
  void* address = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) {
    const int reason = errno;
    throw Error(reason == ENOMEM ? CFACK_ERROR_MEMORY : error_code,
                path + ": cannot be mapped: " + system_message(reason));
  }
  data_ = static_cast<const uint8_t*>(address);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr && copy_ == nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

void MappedFile::give_back() const noexcept {
  if (data_ != nullptr && copy_ == nullptr) madvise(const_cast<uint8_t*>(data_), size_, MADV_DONTNEED);
}

void MappedFile::swap(MappedFile& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(copy_, other.copy_);
}

}  // namespace cfack
