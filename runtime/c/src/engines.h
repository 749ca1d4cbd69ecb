// The manifest's member `engines`, and which of them may run here.
#pragma once

#include <vector>

#include "backend.h"
#include "json.h"
#include "manifest.h"

namespace cfack {

// Read and check the engines of a manifest; one without that member has none. Throws Error(CFACK_ERROR_BUNDLE).
std::vector<EngineEntry> read_engines(const Fields& top, const Manifest& manifest);

// Pick the engine of a graph that may run here, the one built for exactly this GPU first. `bundle` is for messages.
// Throws Error(CFACK_ERROR_BACKEND) with the reason of each candidate.
const EngineEntry& choose_engine(const std::vector<EngineEntry>& engines, const std::string& precision,
                                 const std::string& graph, const EngineTarget& target, const std::string& bundle);

}  // namespace cfack
