// Bytes of a file that the system reads when they are touched.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace cfack {

// A regular file, read-only; an empty one has no address. Stays readable if the file is removed, and holds no
// descriptor, of which a gallery of a thousand segments would use up what a process may have.
class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(const std::string& path, int error_code);  // throws Error(error_code)
  MappedFile(MappedFile&& other) noexcept { swap(other); }
  MappedFile& operator=(MappedFile&& other) noexcept {
    swap(other);
    return *this;
  }
  ~MappedFile();

  const uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }

  // Take its pages out of the process's memory. Whoever looks at them again gets the same bytes, also a thread that
  // is reading them at this moment.
  void give_back() const noexcept;

 private:
  void swap(MappedFile& other) noexcept;

  const uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
  std::unique_ptr<uint8_t[]> copy_;  // of a small file, in place of a map
};

}  // namespace cfack
