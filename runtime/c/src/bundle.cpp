#include "bundle.h"

#include <algorithm>
#include <future>

#include "contained.h"
#include "engines.h"
#include "error.h"
#include "files.h"
#include "graph_contract.h"
#include "int8_products.h"
#include "json.h"
#include "mapped_file.h"
#include "onnx_scan.h"
#include "sha256.h"

namespace cfack {
namespace {

constexpr const char* kManifest = "manifest.json";
constexpr uint64_t kLargestTokenizer = 64 << 20;
constexpr size_t kImageBatch = 8, kImageValuesOnCpu = 1 << 20;
constexpr size_t kMostPairs = 256, kPairValuesOnCpu = 14 << 20, kPairValuesOnGpu = 32 << 20;

constexpr const char* kInt8Cpu = "int8-cpu";
// Best first. FP16 graphs are slower than FP32 on a CPU, and static INT8 slower than dynamic.
constexpr const char* kBestOnCpu[] = {"fp32", kInt8Cpu, "fp16", "int8"};
constexpr const char* kBestOnGpu[] = {"fp16", "fp32"};

void require_size(const std::string& named, uint64_t size, const FileEntry& entry) {
  if (size == entry.size) return;
  throw Error(CFACK_ERROR_BUNDLE, named + ": " + std::to_string(size) + " bytes, but the manifest says " +
                                      std::to_string(entry.size) +
                                      "; the file was truncated or exchanged, copy the bundle again");
}

void require_hash(const std::string& named, const std::string& digest, const FileEntry& entry) {
  if (digest == entry.sha256) return;
  throw Error(CFACK_ERROR_BUNDLE, named + ": SHA-256 is " + digest + ", but the manifest says " + entry.sha256 +
                                      "; the file was damaged or exchanged, copy the bundle again");
}

void check_size(const std::string& folder, const FileEntry& entry) {
  const std::string path = contained_file(folder, entry.path, CFACK_ERROR_BUNDLE);
  require_size(folder + "/" + entry.path, file_size(path, CFACK_ERROR_BUNDLE), entry);
}

// Map a file and check it: the file that is used is the one that was checked, whatever its name leads to meanwhile.
MappedFile checked_map(const std::string& folder, const FileEntry& entry) {
  const std::string named = folder + "/" + entry.path;
  check_size(folder, entry);  // before it is mapped, which a very large file cannot be
  MappedFile file(contained_file(folder, entry.path, CFACK_ERROR_BUNDLE), CFACK_ERROR_BUNDLE);
  require_size(named, file.size(), entry);
  require_hash(named, sha256_hex({reinterpret_cast<const char*>(file.data()), file.size()}), entry);
  return file;
}

}  // namespace

std::shared_ptr<const Bundle> Bundle::open(const std::string& path, const std::string& precision,
                                           const BackendOptions& options) {
  if (!is_folder(path)) {
    throw Error(CFACK_ERROR_BUNDLE, path + ": no such folder; `cfack export` writes a bundle");
  }
  const std::shared_ptr<Bundle> bundle(new Bundle());
  bundle->path_ = absolute_path(path);
  bundle->options_ = options;
  const std::string manifest = contained_file(bundle->path_, kManifest, CFACK_ERROR_BUNDLE);
  bundle->manifest_ = parse_manifest(read_file(manifest, kLargestManifest, CFACK_ERROR_BUNDLE), manifest);
  bundle->check_files();
  bundle->open_tokenizer();
  bundle->choose_precision(precision);
  bundle->library_ = open_library(bundle->without_weights());
  bundle->load_graphs();
  return bundle;
}

void Bundle::check_files() const {
  for (const Precision& precision : manifest_.precisions) {
    for (const auto& graph : precision.graphs) check_size(path_, graph.second.file);
  }
  for (const EngineEntry& engine : manifest_.engines) check_size(path_, engine.file);
  for (const FileEntry& document : manifest_.documents) checked_map(path_, document);
}

void Bundle::open_tokenizer() {
  const FileEntry& entry = manifest_.tokenizer;
  const std::string named = path_ + "/" + entry.path;
  if (entry.size > kLargestTokenizer) {
    throw Error(CFACK_ERROR_BUNDLE, named + ": " + std::to_string(entry.size) + " bytes, at most " +
                                        std::to_string(kLargestTokenizer) + " are read into memory");
  }
  const MappedFile file = checked_map(path_, entry);
  const std::string_view json(reinterpret_cast<const char*>(file.data()), file.size());
  tokenizer_ = std::make_unique<Tokenizer>(
      Tokenizer::from_json(json, static_cast<int>(manifest_.geometry.max_tokens), named));
  if (tokenizer_->vocab_size() > static_cast<int64_t>(manifest_.geometry.vocab_size)) {
    throw Error(CFACK_ERROR_BUNDLE, named + ": holds " + std::to_string(tokenizer_->vocab_size()) +
                                        " tokens, but the text encoder knows " +
                                        std::to_string(manifest_.geometry.vocab_size) +
                                        "; export again with the model's own tokenizer");
  }
}

void Bundle::choose_precision(const std::string& wanted) {
  if (wanted == "auto") {
    const auto choose = [this](const char* name) {
      const Precision* found = manifest_.find(name);
      if (precision_.empty() && found != nullptr && found->passed) precision_ = name;
    };
    if (options_.backend == CFACK_BACKEND_CPU) {
      for (const char* name : kBestOnCpu) choose(name);
    } else {
      for (const char* name : kBestOnGpu) choose(name);
    }
    if (!precision_.empty()) return;
    throw Error(CFACK_ERROR_BUNDLE, path_ + ": of its precisions (" + manifest_.precision_names(", ", false) +
                                        "), none is known to run here and gave PyTorch's results when it was "
                                        "exported; export again");
  }
  const Precision* found = manifest_.find(wanted);
  if (found == nullptr) {
    throw Error(CFACK_ERROR_BUNDLE, path_ + ": holds no precision " + in_quotes(wanted) + ", only " +
                                        manifest_.precision_names(", ", false) +
                                        "; ask for one of these, or export again");
  }
  if (!found->passed) {
    const std::string others = manifest_.precision_names(" or ", true);
    throw Error(CFACK_ERROR_BUNDLE, path_ + ": precision " + wanted +
                                        " did not give PyTorch's results when it was exported (see parity.json) and "
                                        "is not run; use " +
                                        (others.empty() ? "another bundle" : others));
  }
  precision_ = wanted;
}

const char* Bundle::reranker_graph() const {
  return manifest_.find(precision_)->graphs.count(kOneText) != 0 ? kOneText : kReranker;
}

// On the CPU the arena holds intermediate results only, so the weights are taken off the limit before.
BackendOptions Bundle::without_weights() const {
  BackendOptions options = options_;
  if (options.memory_limit == 0 || options.backend != CFACK_BACKEND_CPU) return options;
  const GraphSet& graphs = manifest_.find(precision_)->graphs;
  uint64_t weights = 0;
  for (const char* graph : {kImageEncoder, kTextEncoder, reranker_graph()}) weights += graphs.at(graph).file.size;
  if (options.memory_limit <= weights) {
    throw Error(CFACK_ERROR_MEMORY, path_ + ": memory_limit is " + std::to_string(options.memory_limit) +
                                        " bytes, but the graphs alone have " + std::to_string(weights) +
                                        "; give more");
  }
  options.memory_limit -= weights;
  return options;
}

// Side by side: hashing and loading a gigabyte is most of what opening costs. Where no thread can be had, one after
// the other, which is what async's default does.
void Bundle::load_graphs() {
  if (precision_ == kInt8Cpu && library_->target() == nullptr) require_exact_products(*library_);
  auto text = std::async([this] { return load(kTextEncoder); });
  auto reranker = std::async([this] { return load(reranker_graph()); });
  image_encoder_ = load(kImageEncoder);
  text_encoder_ = text.get();
  reranker_ = reranker.get();
}

bool Bundle::has_one_image() const {
  return manifest_.find(precision_)->graphs.count(kOneImage) != 0 && options_.memory_limit == 0 &&
         library_->target() == nullptr;
}

const Backend& Bundle::one_image() const {
  const std::lock_guard<std::mutex> lock(one_image_mutex_);
  if (one_image_ == nullptr) one_image_ = load(kOneImage);
  return *one_image_;
}

double Bundle::texts_that_pay(double mean_length) const {
  return cfack::texts_that_pay(geometry(), reranker_graph() == kOneText, mean_length);
}

size_t Bundle::images_per_call() const {
  if (options_.backend != CFACK_BACKEND_CPU) return kImageBatch;
  return std::max<size_t>(1, std::min(kImageBatch, kImageValuesOnCpu / geometry().image_values()));
}

size_t Bundle::pairs_per_call() const {
  const size_t most = options_.backend == CFACK_BACKEND_CPU ? kPairValuesOnCpu : kPairValuesOnGpu;
  return std::max<size_t>(1, std::min(kMostPairs, most / geometry().image_values()));
}

std::unique_ptr<Backend> Bundle::load(const char* graph) const {
  const GraphEntry& entry = manifest_.find(precision_)->graphs.at(graph);
  const EngineTarget* target = library_->target();
  const EngineEntry* engine =
      target == nullptr ? nullptr : &choose_engine(manifest_.engines, precision_, graph, *target, path_);
  const FileEntry& wanted = engine == nullptr ? entry.file : engine->file;
  const std::string named = path_ + "/" + wanted.path;
  const MappedFile file = checked_map(path_, wanted);
  if (engine == nullptr) require_self_contained(file.data(), file.size(), named);
  std::unique_ptr<Backend> backend = library_->load(file.data(), file.size(), named, engine);
  check_tensors(backend->inputs(), entry.inputs, named + ": inputs");
  check_tensors(backend->outputs(), entry.outputs, named + ": outputs");
  return backend;
}

Bundle::Lease::Lease(const Bundle& bundle) : bundle_(bundle) {
  {
    const std::lock_guard<std::mutex> lock(bundle.mutex_);
    if (!bundle.workspaces_.empty()) {
      workspace_ = std::move(bundle.workspaces_.back());
      bundle.workspaces_.pop_back();
    }
  }
  if (workspace_ == nullptr) workspace_ = std::make_unique<Workspace>();
}

Bundle::Lease::~Lease() {
  try {
    const std::lock_guard<std::mutex> lock(bundle_.mutex_);
    bundle_.workspaces_.push_back(std::move(workspace_));
  } catch (...) {  // no memory to keep memory: it is freed instead
  }
}

}  // namespace cfack
