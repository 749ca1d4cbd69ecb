#include "contained.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "error.h"
#include "json.h"

namespace fs = std::filesystem;

namespace cfack {
namespace {

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

}  // namespace cfack
