#include "files.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "error.h"

namespace fs = std::filesystem;

namespace cfack {
namespace {

[[noreturn]] void fail_system() { throw std::system_error(errno, std::generic_category()); }

}  // namespace

std::string system_message(int error) { return std::generic_category().message(error); }

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    if (value_ >= 0) close(value_);
    value_ = other.release();
  }
  return *this;
}

Descriptor::~Descriptor() {
  if (value_ >= 0) close(value_);
}

int Descriptor::release() noexcept {
  const int value = value_;
  value_ = -1;
  return value;
}

Descriptor open_file(const std::string& path, int code, uint64_t* size) {
  // Not blocking: a pipe in the place of a file must not hang the reader.
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (file.get() < 0) {
    const int reason = errno;
    throw Error(code, path + ": " + (reason == ENOENT ? "no such file" : "cannot be read: " + system_message(reason)));
  }
  if (fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) throw Error(code, path + ": no such file");
  *size = static_cast<uint64_t>(status.st_size);
  return file;
}

uint64_t read_all(int descriptor, void* out, uint64_t size, const std::string& path, int code) {
  uint64_t done = 0;
  while (done < size) {
    const ssize_t got = read(descriptor, static_cast<char*>(out) + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(code, path + ": cannot be read: " + system_message(errno));
    if (got == 0) break;
    done += static_cast<uint64_t>(got);
  }
  return done;
}

std::string read_file(const std::string& path, uint64_t limit, int code) {
  uint64_t size = 0;
  const Descriptor file = open_file(path, code, &size);
  if (size > limit) {
    throw Error(code, path + ": larger than " + std::to_string(limit) + " bytes, the most that is read");
  }
  std::string data(size, '\0');
  data.resize(read_all(file.get(), data.data(), size, path, code));
  return data;
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  fs::path result = fs::weakly_canonical(fs::path(path), error);
  if (error) result = fs::absolute(fs::path(path), error).lexically_normal();
  std::string text = result.string();
  if (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

bool is_folder(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool path_exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

uint64_t file_size(const std::string& path, int code) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) throw Error(code, path + ": cannot be read: " + system_message(errno));
  return static_cast<uint64_t>(status.st_size);
}

void write_all(int descriptor, const void* data, uint64_t size) {
  const char* bytes = static_cast<const char*>(data);
  while (size != 0) {
    const ssize_t done = write(descriptor, bytes, size);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail_system();
    bytes += done;
    size -= static_cast<uint64_t>(done);
  }
}

void atomic_write(const std::string& path, std::string_view data) {
  const fs::path target(path);
  const std::string temporary =
      (target.parent_path() / ("." + target.filename().string() + "." + random_hex(8) + ".tmp")).string();
  try {
    const Descriptor file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (file.get() < 0) fail_system();
    write_all(file.get(), data.data(), data.size());
    if (fsync(file.get()) != 0) fail_system();
    if (rename(temporary.c_str(), path.c_str()) != 0) fail_system();
  } catch (...) {
    unlink(temporary.c_str());
    throw;
  }
  sync_folder(target.parent_path().string());
}

void sync_folder(const std::string& folder) {
  const Descriptor file(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file.get() < 0 || fsync(file.get()) != 0) fail_system();
}

std::string random_hex(int digits) {
  std::string text;
  while (static_cast<int>(text.size()) < digits) {
    uint8_t byte = 0;
    if (getrandom(&byte, 1, 0) != 1) fail_system();
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  text.resize(static_cast<size_t>(digits));
  return text;
}

}  // namespace cfack
