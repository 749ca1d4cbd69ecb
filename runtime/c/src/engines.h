// The manifest's member `engines`. This library runs none, but refuses a manifest that Python would refuse.
#pragma once

#include <vector>

#include "json.h"
#include "manifest.h"

namespace cfack {

// Read and check the engines of a manifest; one without that member has none. Throws Error(CFACK_ERROR_BUNDLE).
std::vector<FileEntry> read_engines(const Fields& top, const Manifest& manifest);

}  // namespace cfack
