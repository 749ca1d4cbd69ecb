// What runs a graph.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "manifest.h"

namespace cfack {

enum class DType { kFloat32, kFloat16, kInt64, kUint8 };

size_t dtype_size(DType dtype);

// Where an input lies; it must stay there for the call.
struct TensorView {
  const char* name = "";
  DType dtype = DType::kFloat32;
  int64_t shape[4] = {};
  size_t rank = 0;
  const void* data = nullptr;

  size_t bytes() const;
};

// Names and shapes, for messages.
std::string describe(const TensorView* views, size_t count);

// Output values of one run, freed with the object. No graph has more than two.
class RunResult {
 public:
  static constexpr size_t kMost = 2;

  RunResult() = default;
  RunResult(const RunResult&) = delete;
  RunResult& operator=(const RunResult&) = delete;
  ~RunResult() { clear(); }

  void clear() {
    for (size_t i = 0; i < count_; ++i) release_(owner_, handles_[i]);
    count_ = 0;
  }
  void add(const TensorView& view, void* handle, const void* owner, void (*release)(const void*, void*)) {
    views_[count_] = view;
    handles_[count_++] = handle;
    owner_ = owner;
    release_ = release;
  }
  const TensorView& get(const char* name) const;

 private:
  TensorView views_[kMost];
  void* handles_[kMost] = {};
  size_t count_ = 0;
  const void* owner_ = nullptr;
  void (*release_)(const void*, void*) = nullptr;
};

// One graph, loaded and ready; `run` may be called from several threads.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual const std::vector<TensorSpec>& inputs() const = 0;
  virtual const std::vector<TensorSpec>& outputs() const = 0;
  // Throws Error(CFACK_ERROR_BACKEND) or Error(CFACK_ERROR_MEMORY).
  virtual void run(const TensorView* inputs, size_t count, RunResult* result) const = 0;

  // Type of an input, float32 or float16 for tokens.
  DType input_dtype(const char* name) const;
};

struct BackendOptions {
  int backend = 0;  // CFACK_BACKEND_
  int device = 0;
  int threads = 0;
  uint64_t memory_limit = 0;
  std::string library;  // of ONNX Runtime or, for engines, of TensorRT or TensorRT-RTX; empty: look for it
};

// What engines are compared with before one is loaded.
struct EngineTarget {
  std::string builder;             // "tensorrt" or "tensorrt-rtx"
  std::string version;             // of the library that was loaded
  std::string compute_capability;  // of the GPU, "8.9" for example
  std::string gpu;
  int device = 0;
};

// A library that runs graphs, ready to load some.
class BackendLibrary {
 public:
  virtual ~BackendLibrary() = default;
  virtual const std::string& version() const = 0;
  // Of a library that runs engines; nullptr: it runs ONNX files.
  virtual const EngineTarget* target() const { return nullptr; }
  // Load a file's bytes; `source` is what messages call it, `engine` what the manifest says of it if it is one.
  // The bytes are not needed afterwards.
  virtual std::unique_ptr<Backend> load(const uint8_t* data, uint64_t size, const std::string& source,
                                        const EngineEntry* engine) const = 0;
};

// Whether a CFACK_BACKEND_ runs engines, and whether this library was compiled to.
bool runs_engines(int backend);
bool has_engines(int backend);

// Throws Error(CFACK_ERROR_BACKEND): the library or what was asked for is not there.
std::unique_ptr<BackendLibrary> open_library(const BackendOptions& options);
std::unique_ptr<BackendLibrary> open_onnxruntime(const BackendOptions& options);
std::unique_ptr<BackendLibrary> open_tensorrt(const BackendOptions& options);
std::unique_ptr<BackendLibrary> open_tensorrt_rtx(const BackendOptions& options);

}  // namespace cfack
