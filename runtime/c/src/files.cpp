#include "files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "error.h"
#include "json.h"
#include "sha256.h"

namespace fs = std::filesystem;

namespace cfack {
namespace {

constexpr size_t kChunk = 1 << 20;

[[noreturn]] void fail_system() { throw std::system_error(errno, std::generic_category()); }

Descriptor open_regular(const std::string& path, int code, uint64_t* size) {
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

constexpr const char* kLeadsOut = ": refused, a symbolic link leads out of ";

// Whether a path is a link to something outside of a folder that is not there.
bool leads_out(const fs::path& path, const std::string& root) {
  std::error_code error;
  const fs::path target = fs::read_symlink(path, error);
  if (error) return false;
  const fs::path parent = fs::canonical(path.parent_path(), error);
  const std::string end = (parent / target).lexically_normal().string();
  return !error && end.compare(0, root.size() + 1, root + "/") != 0;
}

bool has_control(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

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

MappedFile::MappedFile(const std::string& path, int error_code) {
  const Descriptor file = open_regular(path, error_code, &size_);
  if (size_ == 0) return;
  void* address = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) throw Error(error_code, path + ": cannot be mapped: " + system_message(errno));
  data_ = static_cast<const uint8_t*>(address);
}

MappedFile::MappedFile(MappedFile&& other) noexcept : data_(other.data_), size_(other.size_) {
  other.data_ = nullptr;
  other.size_ = 0;
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

std::string read_file(const std::string& path, uint64_t limit, int code) {
  uint64_t size = 0;
  const Descriptor file = open_regular(path, code, &size);
  if (size > limit) throw Error(code, path + ": larger than " + std::to_string(limit) + " bytes, the most that is read");
  std::string data(size, '\0');
  size_t done = 0;
  while (done < data.size()) {
    const ssize_t got = read(file.get(), data.data() + done, data.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(code, path + ": cannot be read: " + system_message(errno));
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  data.resize(done);
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

bool is_contained(std::string_view relative) {
  size_t start = 0;
  while (true) {
    const size_t end = std::min(relative.find('/', start), relative.size());
    const std::string_view part = relative.substr(start, end - start);
    if (part.empty() || part == "." || part == "..") return false;
    if (end == relative.size()) break;
    start = end + 1;
  }
  return relative.find('\0') == std::string_view::npos;
}

std::string contained_file(const std::string& folder, const std::string& relative, int code) {
  if (!is_contained(relative) || has_control(relative) || relative.find_first_of("\\:") != std::string::npos) {
    throw Error(code, folder + ": the path " + in_quotes(relative) +
                          " is refused: expected a relative path inside the folder, with \"/\" between its parts and "
                          "neither \".\" nor \"..\" among them");
  }
  const std::string named = folder + "/" + relative;
  std::error_code error;
  const std::string root = fs::canonical(folder, error).string();
  if (error) throw Error(code, folder + ": cannot be opened: " + error.message());
  const std::string path = fs::canonical(named, error).string();
  if (error == std::errc::no_such_file_or_directory) {
    if (leads_out(named, root)) throw Error(code, named + kLeadsOut + folder);
    throw Error(code, named + ": no such file");
  }
  if (error) {  // its name may be too long for a message, too
    throw Error(code, folder + ": the path " + in_quotes(relative) + " cannot be opened: " + error.message());
  }
  if (path.compare(0, root.size() + 1, root + "/") != 0 && root != "/") {
    throw Error(code, named + kLeadsOut + folder);
  }
  if (!fs::is_regular_file(path, error)) throw Error(code, named + ": no such file");
  return path;
}

bool is_missing(const std::string& folder, const std::string& relative) {
  struct stat status {};
  return stat((folder + "/" + relative).c_str(), &status) != 0 && errno == ENOENT;
}

uint64_t file_size(const std::string& path, int code) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) throw Error(code, path + ": cannot be read: " + system_message(errno));
  return static_cast<uint64_t>(status.st_size);
}

std::string sha256_file(const std::string& path, int code) {
  uint64_t size = 0;
  const Descriptor file = open_regular(path, code, &size);
  std::vector<char> chunk(kChunk);
  Sha256 hash;
  while (true) {
    const ssize_t got = read(file.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(code, path + ": cannot be read: " + system_message(errno));
    if (got == 0) return hash.hex_digest();
    hash.update(chunk.data(), static_cast<size_t>(got));
  }
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
