// ONNX Runtime, found and loaded when the program runs: a linked binary would run with one release only.
#pragma once

#include <onnxruntime_c_api.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "manifest.h"

namespace cfack {

// A shared library of ONNX Runtime. Loaded once a process for each path, and never unloaded: it runs threads.
class OnnxRuntimeLibrary {
 public:
  // By `option`, else by the environment variable CFACK_ONNXRUNTIME, else as the loader finds it.
  // Throws Error(CFACK_ERROR_BACKEND).
  static const OnnxRuntimeLibrary& find(const std::string& option);

  const OrtApi& api() const { return *api_; }
  const OrtEnv* env() const { return env_; }
  const OrtMemoryInfo* cpu() const { return cpu_; }
  const std::string& path() const { return path_; }
  const std::string& version() const { return version_; }

  std::vector<std::string> providers() const;

  // An arena of at most `bytes` for all sessions that use the environment's allocator, there as long as somebody
  // holds what is returned. Throws Error(CFACK_ERROR_INVALID) if one of another size is in use.
  std::shared_ptr<const void> limited_arena(uint64_t bytes) const;

  // Throw Error if a call failed: CFACK_ERROR_MEMORY where memory is what was missing, else CFACK_ERROR_BACKEND.
  // Frees the status.
  void check(OrtStatus* status, const std::string& what) const;

 private:
  OnnxRuntimeLibrary(std::string path, void* handle);

  std::string path_;
  std::string version_;
  const OrtApi* api_ = nullptr;
  OrtEnv* env_ = nullptr;
  OrtMemoryInfo* cpu_ = nullptr;
  mutable std::mutex arena_mutex_;
  mutable std::weak_ptr<const void> arena_;
  mutable uint64_t arena_bytes_ = 0;
};

}  // namespace cfack
