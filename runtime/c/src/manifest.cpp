#include "manifest.h"

#include "engines.h"
#include "error.h"
#include "graph_contract.h"
#include "json.h"
#include "sha256.h"

namespace cfack {
namespace {

constexpr int64_t kLargestFile = int64_t{1} << 40;
constexpr int64_t kLargestGraph = INT32_MAX;  // Protocol Buffers, and so ONNX files, end there
constexpr int64_t kLargestDocument = 64 << 20;
constexpr size_t kMostPrecisions = 32, kMostDocuments = 64;
constexpr int64_t kMostPairs = int64_t{1} << 53;
constexpr int64_t kLargestVersion = int64_t{1} << 31;
constexpr const char* kImageRule = "squash-bicubic-1";
constexpr const char* kCaptionRule = "pre-caption-1";

void check_format(const Fields& top) {
  const std::string& format = top.text("format");
  if (format != "cfack-bundle") {
    top.fail("format is " + in_quotes(format) + ", expected 'cfack-bundle'; this is no bundle");
  }
  const int64_t version = top.integer("format_version", 0, kLargestVersion);
  if (version != 1) {
    top.fail("format version " + std::to_string(version) +
             ", but this is a reader of version 1; export the checkpoint again, or install the CFACK that wrote "
             "the bundle");
  }
}

uint32_t size_of(const Fields& model, const char* name, int64_t low, int64_t high) {
  return static_cast<uint32_t>(model.integer(name, low, high));
}

Geometry read_geometry(const Fields& model) {
  Geometry g;
  g.image_height = size_of(model, "image_height", 1, 65535);
  g.image_width = size_of(model, "image_width", 1, 65535);
  g.image_token_count = size_of(model, "image_token_count", 2, 1 << 20);
  g.image_token_width = size_of(model, "image_token_width", 1, 1 << 16);
  g.text_token_width = size_of(model, "text_token_width", 1, 1 << 16);
  g.embed_dim = size_of(model, "embed_dim", 1, 1 << 16);
  g.max_tokens = size_of(model, "max_tokens", 3, 1 << 16);
  g.vocab_size = size_of(model, "vocab_size", 5, 1 << 24);
  return g;
}

void check_rule(const Fields& rules, const char* name, const std::string& known) {
  if (rules.text(name) != known) {
    rules.fail(std::string(name) + " is " + in_quotes(rules.text(name)) + ", but this version only knows '" + known +
               "'; install the CFACK that wrote the bundle");
  }
}

FileEntry read_file_entry(const Fields& entry, int64_t largest = kLargestFile) {
  return {entry.text("path"), entry.sha256("sha256"), static_cast<uint64_t>(entry.integer("size", 1, largest))};
}

// Characters, not bytes; the parser has checked that it is UTF-8.
size_t length(const std::string& utf8) {
  size_t count = 0;
  for (const char c : utf8) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return count;
}

std::vector<TensorSpec> read_tensors(const Fields& graph, const char* side) {
  std::vector<TensorSpec> specs;
  for (const Fields& tensor : graph.objects(side)) {
    TensorSpec spec{tensor.text("name"), tensor.text("dtype"), {}};
    for (const Json& axis : tensor.list("shape")) {
      const bool named = axis.type == Json::Type::kString && !axis.text.empty() && length(axis.text) <= 64;
      const bool fixed = axis.type == Json::Type::kInteger && axis.integer() > 0 && axis.integer() < kLargestVersion;
      if (!named && !fixed) tensor.fail("shape holds something else than positive numbers or names");
      spec.shape.push_back(named ? -1 : axis.integer());
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

bool is_precision_name(const std::string& name) {
  return !name.empty() && name.size() <= 32 && name[0] != '-' &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

void check_precision_name(const Fields& owner, const std::string& name) {
  if (!is_precision_name(name)) owner.fail(in_quotes(name) + " is no name of a precision");
}

GraphSet read_graph_set(const Fields& graphs, const Geometry& geometry) {
  GraphSet found;
  const auto read = [&](const char* name) {
    const Fields graph = graphs.object(name);
    GraphEntry entry{read_file_entry(graph, kLargestGraph), read_tensors(graph, "inputs"),
                     read_tensors(graph, "outputs")};
    const Signature expected = graph_signature(name, geometry);
    check_tensors(entry.inputs, expected.inputs, graph.where() + ": inputs");
    check_tensors(entry.outputs, expected.outputs, graph.where() + ": outputs");
    found.emplace(name, std::move(entry));
  };
  for (const char* name : kGraphs) {
    if (!graphs.has(name)) graphs.fail(std::string(name) + " missing; export again");
    read(name);
  }
  for (const char* name : kRewrites) {
    if (graphs.has(name)) read(name);
  }
  return found;
}

// Member of a parity summary.
constexpr const char* kInt8Passed = "int8_tokens_passed";

struct Parity {
  bool passed;
  std::optional<bool> int8_tokens_passed;
};

// By precision.
std::map<std::string, Parity> read_parity(const Fields& parity) {
  std::map<std::string, Parity> found;
  for (const auto& [name, value] : parity.members()) {
    check_precision_name(parity, name);
    const Fields summary = parity.object(name.c_str());
    found[name].passed = summary.boolean("passed");
    for (const auto& [member, content] : summary.members()) {
      if (!content.is_scalar()) summary.fail(member.substr(0, 80) + " is no number, string or boolean");
      if (member == kInt8Passed && content.type == Json::Type::kBoolean) {
        found[name].int8_tokens_passed = content.boolean;
      }
    }
  }
  return found;
}

std::vector<Precision> read_precisions(const Fields& top, const Geometry& geometry) {
  const Fields graphs = top.object("graphs");
  if (graphs.members().empty()) graphs.fail("is empty, expected at least one precision");
  if (graphs.members().size() > kMostPrecisions) {
    graphs.fail(std::to_string(graphs.members().size()) + " precisions, at most 32 are read");
  }
  const std::map<std::string, Parity> parity = read_parity(top.object("parity"));
  std::vector<Precision> precisions;
  for (const auto& member : graphs.members()) {
    check_precision_name(graphs, member.first);
    const auto found = parity.find(member.first);
    if (found == parity.end()) {
      top.fail("parity has nothing about precision " + member.first +
               "; a graph that nobody compared with PyTorch is not run");
    }
    precisions.push_back({member.first, read_graph_set(graphs.object(member.first.c_str()), geometry),
                          found->second.passed, found->second.int8_tokens_passed});
  }
  return precisions;
}

std::vector<FileEntry> read_documents(const Fields& top) {
  const std::vector<Fields> entries = top.objects("documents");
  if (entries.size() > kMostDocuments) {
    top.fail(std::to_string(entries.size()) + " documents, at most 64 are read");
  }
  std::vector<FileEntry> documents;
  for (const Fields& entry : entries) documents.push_back(read_file_entry(entry, kLargestDocument));
  return documents;
}

std::optional<ScoreCalibration> read_score_calibration(const Fields& top) {
  if (!top.optional("score_calibration")) return std::nullopt;
  const Fields fitted = top.object("score_calibration");
  ScoreCalibration found;
  found.slope = fitted.number("slope");
  found.offset = fitted.number("offset");
  if (fitted.optional("cosine")) found.cosine = fitted.number("cosine");
  if (!(found.slope > 0)) fitted.fail("slope is " + std::to_string(found.slope) + ", expected a positive number");
  if (found.cosine < 0) {
    fitted.fail("cosine is " + std::to_string(found.cosine) + ", expected 0 or a positive number");
  }
  fitted.integer("pairs", 2, kMostPairs);
  fitted.sha256("split_sha256");
  return found;
}

std::string compute_embedding_space(const std::string& weights, const std::string& tokenizer, const Geometry& g) {
  return sha256_hex("cfack-embedding-space-1\nweights=" + weights + "\ntokenizer=" + tokenizer + "\nimage=" +
                    kImageRule + "\nsize=" + std::to_string(g.image_height) + "x" + std::to_string(g.image_width) +
                    "\ncaption=" + kCaptionRule + "\nmax_tokens=" + std::to_string(g.max_tokens) + "\n");
}

}  // namespace

const Precision* Manifest::find(std::string_view precision) const {
  for (const Precision& candidate : precisions) {
    if (candidate.name == precision) return &candidate;
  }
  return nullptr;
}

std::string Manifest::precision_names(const char* between, bool passed) const {
  std::string names;
  for (const Precision& precision : precisions) {
    if (!passed || precision.passed) names += (names.empty() ? "" : between) + precision.name;
  }
  return names;
}

Manifest parse_manifest(std::string_view text, const std::string& source) {
  const Json json = parse_object(text, source, CFACK_ERROR_BUNDLE);
  const Fields top(json, source, CFACK_ERROR_BUNDLE);
  check_format(top);
  Manifest manifest;
  manifest.geometry = read_geometry(top.object("model"));
  manifest.tokenizer = read_file_entry(top.object("tokenizer"));
  const std::string& weights = top.object("source").sha256("checkpoint_sha256");
  manifest.precisions = read_precisions(top, manifest.geometry);
  manifest.documents = read_documents(top);
  const Fields rules = top.object("preprocessing");
  check_rule(rules, "image", kImageRule);
  check_rule(rules, "caption", kCaptionRule);
  top.text("created_by", true);
  manifest.engines = read_engines(top, manifest);
  manifest.score_calibration = read_score_calibration(top);
  manifest.embedding_space = compute_embedding_space(weights, manifest.tokenizer.sha256, manifest.geometry);
  if (top.sha256("embedding_space") != manifest.embedding_space) {
    top.fail("embedding_space is " + top.sha256("embedding_space") +
             ", but weights, tokenizer and preprocessing make it " + manifest.embedding_space +
             "; the manifest was edited, export again");
  }
  return manifest;
}

}  // namespace cfack
