// May this engine run here? Asked of the manifest, before the library sees a byte of the engine.
#include <cstdlib>

#include "engines.h"
#include "error.h"

namespace cfack {
namespace {

// "10.13.2" as numbers.
std::vector<long> numbers(const std::string& version) {
  std::vector<long> found;
  const char* at = version.c_str();
  while (*at != '\0') {
    char* end = nullptr;
    found.push_back(std::strtol(at, &end, 10));
    at = *end == '.' ? end + 1 : end;
    if (*end != '.' && *end != '\0') break;
  }
  return found;
}

bool version_fits(const EngineEntry& engine, const std::string& here) {
  if (engine.builder_version == here) return true;
  const std::vector<long> built = numbers(engine.builder_version), loaded = numbers(here);
  return engine.version_compatible && !built.empty() && !loaded.empty() && built[0] == loaded[0] && built <= loaded;
}

bool capability_fits(const EngineEntry& engine, const std::string& here) {
  if (engine.compatibility == "ampere+") return numbers(here) >= std::vector<long>{8, 0};
  return engine.compute_capability == here;
}

// Why it may not run, and what to do; empty if it may.
std::string refusal(const EngineEntry& engine, const EngineTarget& target, const std::string& bundle) {
  const std::string rebuild =
      "; run `cfack export --rebuild-engines " + bundle + " --" + engine.builder + "` on this machine";
  if (!version_fits(engine, target.version)) {
    return "was built by " + engine.builder + " " + engine.builder_version + ", but here is " + target.version +
           rebuild;
  }
  const std::string gpu = "GPU " + std::to_string(target.device) + " (" + target.gpu + ")";
  if (!capability_fits(engine, target.compute_capability)) {
    return "was built for compute capability " +
           (engine.compatibility == "ampere+" ? std::string("8.0 and newer") : engine.compute_capability) + ", but " +
           gpu + " has " + target.compute_capability + rebuild;
  }
  if (engine.compatibility == "none" && !engine.gpu.empty() && engine.gpu != target.gpu) {
    return "was built on a " + engine.gpu + " and for no other GPU, but here is " + gpu + rebuild;
  }
  if (!engine.verified) {
    return "was built without running it, so nobody knows whether it gives PyTorch's results; run `cfack verify " +
           bundle + " --data DATA` on this machine, which tries it and writes the verdict down";
  }
  if (engine.stripped) {
    return "holds no weights, which only the Python runtime puts back; build it without stripping" + rebuild;
  }
  return "";
}

}  // namespace

const EngineEntry& choose_engine(const std::vector<EngineEntry>& engines, const std::string& precision,
                                 const std::string& graph, const EngineTarget& target, const std::string& bundle) {
  const EngineEntry* best = nullptr;
  std::string reasons;
  for (const EngineEntry& engine : engines) {
    if (engine.precision != precision || engine.graph != graph || engine.builder != target.builder) continue;
    const std::string reason = refusal(engine, target, bundle);
    if (!reason.empty()) {
      reasons += (reasons.empty() ? "" : "; ") + bundle + "/" + engine.file.path + ": " + reason;
    } else if (best == nullptr || (best->compatibility != "none" && engine.compatibility == "none")) {
      best = &engine;
    }
  }
  if (best != nullptr) return *best;
  throw Error(CFACK_ERROR_BACKEND, !reasons.empty() ? reasons
                                                    : bundle + ": holds no " + target.builder + " engine of " +
                                                          precision + " " + graph + "; run `cfack export " +
                                                          "--rebuild-engines " + bundle + " --" + target.builder +
                                                          "` on this machine");
}

}  // namespace cfack
