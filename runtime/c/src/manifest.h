// What a bundle's manifest says; docs/bundle.md specifies it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "scoring.h"

namespace cfack {

struct FileEntry {
  std::string path;  // relative to the bundle, "/" between parts
  std::string sha256;
  uint64_t size = 0;
};

// Sizes of the graphs; the names are those of the manifest.
struct Geometry {
  uint32_t image_height = 0;
  uint32_t image_width = 0;
  uint32_t image_token_count = 0;
  uint32_t image_token_width = 0;
  uint32_t text_token_width = 0;
  uint32_t embed_dim = 0;
  uint32_t max_tokens = 0;
  uint32_t vocab_size = 0;

  // Of the tokens (1+N, C) of one image.
  size_t image_values() const { return static_cast<size_t>(image_token_count) * image_token_width; }
};

struct TensorSpec {
  std::string name;
  std::string dtype;           // as NumPy writes it
  std::vector<int64_t> shape;  // a free axis is -1
};

struct GraphEntry {
  FileEntry file;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
};

using GraphSet = std::map<std::string, GraphEntry, std::less<>>;  // looked into without making a string

// Shapes of one input that an engine takes, axis by axis.
struct ShapeRange {
  std::vector<int64_t> min, opt, max;
};

// One graph compiled for one kind of GPU; docs/bundle.md says what each member means.
struct EngineEntry {
  FileEntry file;
  std::string precision, graph, builder, builder_version, compute_capability, gpu, compatibility;
  bool version_compatible = false, stripped = false, verified = false;
  std::vector<std::map<std::string, ShapeRange>> profiles;
};

struct Precision {
  std::string name;
  GraphSet graphs;
  bool passed = false;  // gave PyTorch's results when it was exported
  std::optional<bool> int8_tokens_passed;  // re-ranking from INT8 tokens gave the same rankings
};

struct Manifest {
  Geometry geometry;
  FileEntry tokenizer;
  std::vector<Precision> precisions;  // in the order of the file
  std::vector<FileEntry> documents;
  std::vector<EngineEntry> engines;
  std::string embedding_space;
  std::optional<ScoreCalibration> score_calibration;

  const Precision* find(std::string_view precision) const;
  // "fp32, fp16"; with `passed`, only those that passed.
  std::string precision_names(const char* between, bool passed) const;
};

// Read and check a manifest; the files that it names are not looked at. `source` is what messages call it.
// Throws Error(CFACK_ERROR_BUNDLE).
Manifest parse_manifest(std::string_view json, const std::string& source);

constexpr uint64_t kLargestManifest = 4 << 20;

}  // namespace cfack
