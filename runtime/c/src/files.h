// Files: reading with limits, paths that cannot leave their folder, and writing that a crash cannot halve.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cfack {

// The message of an errno, thread-safe.
std::string system_message(int error);

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int value = -1) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();
  int get() const { return value_; }
  int release() noexcept;

 private:
  int value_;
};

// A regular file mapped read-only; an empty one has no address. Stays readable if the file is removed.
class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(const std::string& path, int error_code);  // throws Error(error_code)
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();
  const uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  const uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
};

// Read a regular file whole. Throws Error(code): not there, unreadable, larger than `limit` bytes.
std::string read_file(const std::string& path, uint64_t limit, int code);

// An absolute path without links, "." and ".."; what does not exist yet is kept as it is written.
std::string absolute_path(const std::string& path);

bool is_folder(const std::string& path);

bool path_exists(const std::string& path);

// Whether a path can only lead below the folder that it is appended to, links aside.
bool is_contained(std::string_view relative);

// Find a regular file below a folder, refusing every way out of it. Throws Error(code).
std::string contained_file(const std::string& folder, const std::string& relative, int code);

// Whether contained_file would fail only because nothing is there.
bool is_missing(const std::string& folder, const std::string& relative);

uint64_t file_size(const std::string& path, int code);

// SHA-256 of a file, in hexadecimal digits. Throws Error(code).
std::string sha256_file(const std::string& path, int code);

// Write a file so that a crash leaves the old content or the new one. Throws std::system_error.
void atomic_write(const std::string& path, std::string_view data);

// Write all bytes. Throws std::system_error.
void write_all(int descriptor, const void* data, uint64_t size);

// Have a folder's list of names written to the disk. Throws std::system_error.
void sync_folder(const std::string& folder);

// Some hexadecimal digits that nobody can guess.
std::string random_hex(int digits);

}  // namespace cfack
