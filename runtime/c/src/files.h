// Files: reading with limits, and writing that a crash cannot halve.
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

// Open a regular file for reading. Throws Error(code): not there, or no regular file.
Descriptor open_file(const std::string& path, int code, uint64_t* size);

// Read up to `size` bytes, fewer at the end of the file; returns how many. Throws Error(code), calling it `path`.
uint64_t read_all(int descriptor, void* out, uint64_t size, const std::string& path, int code);

// Read a regular file whole. Throws Error(code): not there, unreadable, larger than `limit` bytes.
std::string read_file(const std::string& path, uint64_t limit, int code);

// An absolute path without links, "." and ".."; what does not exist yet is kept as it is written.
std::string absolute_path(const std::string& path);

bool is_folder(const std::string& path);

bool path_exists(const std::string& path);

uint64_t file_size(const std::string& path, int code);

// Write a file so that a crash leaves the old content or the new one. Throws std::system_error.
void atomic_write(const std::string& path, std::string_view data);

// Write all bytes. Throws std::system_error.
void write_all(int descriptor, const void* data, uint64_t size);

// Have a folder's list of names written to the disk. Throws std::system_error.
void sync_folder(const std::string& folder);

// Some hexadecimal digits that nobody can guess.
std::string random_hex(int digits);

}  // namespace cfack
