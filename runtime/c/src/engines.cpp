#include "engines.h"

#include <algorithm>
#include <initializer_list>
#include <set>

namespace cfack {
namespace {

constexpr int64_t kLargestEngine = int64_t{1} << 36;
constexpr size_t kMostEngines = 1024, kMostProfiles = 64, kMostAxes = 8;
constexpr int64_t kLargestAxis = INT32_MAX;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// 2 to 5 runs of 1 to 6 digits with points between.
bool is_version(const std::string& text) {
  size_t runs = 1, digits = 0;
  for (const char c : text) {
    if (c == '.') {
      if (digits == 0) return false;
      ++runs;
      digits = 0;
    } else if (!is_digit(c) || ++digits > 6) {
      return false;
    }
  }
  return digits != 0 && runs >= 2 && runs <= 5;
}

bool is_compute_capability(const std::string& text) {
  const size_t point = text.find('.');
  return point >= 1 && point <= 3 && text.size() == point + 2 && is_digit(text[point + 1]) &&
         std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(point), is_digit);
}

// At most 200 characters (code points), none of them a control character.
bool is_gpu_name(const std::string& text) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  const auto begins = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; };
  return std::none_of(text.begin(), text.end(), control) && std::count_if(text.begin(), text.end(), begins) <= 200;
}

const std::string& checked(const Fields& entry, const char* name, bool (*is_valid)(const std::string&)) {
  const std::string& value = entry.text(name, true);
  if (!is_valid(value)) entry.fail(std::string(name) + " is " + in_quotes(value) + ", which is no valid " + name);
  return value;
}

const std::string& one_of(const Fields& entry, const char* name, std::initializer_list<const char*> known) {
  const std::string& value = entry.text(name);
  if (std::find(known.begin(), known.end(), value) == known.end()) {
    entry.fail(std::string(name) + " is " + in_quotes(value) +
               ", which this version does not know; install the CFACK that wrote the bundle");
  }
  return value;
}

std::vector<int64_t> sizes(const Fields& shapes, const char* name) {
  std::vector<int64_t> values;
  for (const Json& value : shapes.list(name)) {
    if (value.type != Json::Type::kInteger || value.integer() <= 0 || value.integer() > kLargestAxis) {
      shapes.fail(std::string(name) + " holds something else than positive whole numbers");
    }
    values.push_back(value.integer());
  }
  if (values.size() > kMostAxes) shapes.fail(std::string(name) + " has more than 8 numbers");
  return values;
}

std::map<std::string, ShapeRange> read_profile(const Fields& profile, const GraphEntry& graph) {
  std::map<std::string, ShapeRange> ranges;
  bool complete = profile.members().size() == graph.inputs.size();
  for (const TensorSpec& spec : graph.inputs) complete = complete && profile.has(spec.name.c_str());
  if (!complete) profile.fail("has shapes of other names than the graph's inputs");
  for (const TensorSpec& spec : graph.inputs) {
    const Fields shapes = profile.object(spec.name.c_str());
    ShapeRange range{sizes(shapes, "min"), sizes(shapes, "opt"), sizes(shapes, "max")};
    const auto &low = range.min, &best = range.opt, &high = range.max;
    bool fits = low.size() == spec.shape.size() && best.size() == low.size() && high.size() == low.size();
    for (size_t i = 0; fits && i < low.size(); ++i) {
      fits = low[i] <= best[i] && best[i] <= high[i] &&
             (spec.shape[i] < 0 || (low[i] == high[i] && low[i] == spec.shape[i]));
    }
    if (!fits) shapes.fail("expected min <= opt <= max that fit the graph's shape");
    ranges.emplace(spec.name, std::move(range));
  }
  return ranges;
}

std::vector<std::map<std::string, ShapeRange>> read_profiles(const Fields& entry, const GraphEntry& graph) {
  const std::vector<Fields> profiles = entry.objects("profiles");
  if (profiles.empty() || profiles.size() > kMostProfiles) {
    entry.fail("profiles has " + std::to_string(profiles.size()) + " entries, expected 1 to 64");
  }
  std::vector<std::map<std::string, ShapeRange>> read;
  for (const Fields& profile : profiles) read.push_back(read_profile(profile, graph));
  return read;
}

}  // namespace

std::vector<EngineEntry> read_engines(const Fields& top, const Manifest& manifest) {
  std::vector<EngineEntry> engines;
  if (!top.has("engines")) return engines;
  const std::vector<Fields> entries = top.objects("engines");
  if (entries.size() > kMostEngines) {
    top.fail("engines has " + std::to_string(entries.size()) + " entries, at most 1024 are read");
  }
  std::set<std::string> paths, identities;
  for (const Fields& entry : entries) {
    EngineEntry engine;
    engine.file = {entry.text("path"), entry.sha256("sha256"),
                   static_cast<uint64_t>(entry.integer("size", 1, kLargestEngine))};
    engine.precision = entry.text("precision");
    engine.graph = entry.text("graph");
    const std::string &precision = engine.precision, &graph = engine.graph;
    engine.builder = one_of(entry, "builder", {"tensorrt", "tensorrt-rtx"});
    engine.builder_version = checked(entry, "builder_version", is_version);
    engine.compute_capability = checked(entry, "compute_capability", is_compute_capability);
    engine.gpu = checked(entry, "gpu", is_gpu_name);
    engine.compatibility = one_of(entry, "compatibility", {"none", "ampere+", "same-compute-capability"});
    engine.version_compatible = entry.boolean("version_compatible");
    engine.stripped = entry.boolean("stripped");
    engine.verified = entry.boolean("verified");
    const std::string& onnx = entry.sha256("onnx_sha256");
    const Precision* owner = manifest.find(precision);
    if (owner == nullptr || owner->graphs.count(graph) == 0) {
      entry.fail("is for " + precision.substr(0, 80) + " " + graph.substr(0, 80) +
                 ", a graph that this bundle does not hold; run `cfack export --rebuild-engines`");
    }
    const GraphEntry& source = owner->graphs.at(graph);
    if (onnx != source.file.sha256) {
      entry.fail("was built from an ONNX file with SHA-256 " + onnx + ", but that of " + precision + " " + graph +
                 " is " + source.file.sha256 + "; run `cfack export --rebuild-engines`");
    }
    engine.profiles = read_profiles(entry, source);
    std::string identity;
    for (const std::string* part : {&engine.precision, &engine.graph, &engine.builder, &engine.builder_version,
                                    &engine.compute_capability, &engine.gpu, &engine.compatibility}) {
      identity += *part + "\n";
    }
    if (!paths.insert(engine.file.path).second || !identities.insert(identity).second) entry.fail("is listed twice");
    engines.push_back(std::move(engine));
  }
  return engines;
}

}  // namespace cfack
