// Paths that come from a file and must not lead out of the folder that it lies in.
#pragma once

#include <string>
#include <string_view>

namespace cfack {

// Whether a path can only lead below the folder that it is appended to, links aside.
bool is_contained(std::string_view relative);

// Find a regular file below a folder, refusing every way out of it. Throws Error(code).
std::string contained_file(const std::string& folder, const std::string& relative, int code);

}  // namespace cfack
