#include "onnxruntime_library.h"

#include <dlfcn.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>

#include "error.h"
#include "files.h"

namespace cfack {
namespace {

// The lowest version that has every function that is called; each release serves it and all versions before.
constexpr uint32_t kApiVersion = 17;
// A function that the header lists behind the last one of version 17 would be read beyond the table's end.
static_assert(offsetof(OrtApi, UpdateTensorRTProviderOptions) < offsetof(OrtApi, KernelInfoGetAllocator));
static_assert(offsetof(OrtApi, UpdateCUDAProviderOptions) < offsetof(OrtApi, KernelInfoGetAllocator));
static_assert(offsetof(OrtApi, CreateArenaCfgV2) < offsetof(OrtApi, KernelInfoGetAllocator));
static_assert(offsetof(OrtApi, UnregisterAllocator) < offsetof(OrtApi, KernelInfoGetAllocator));

constexpr const char* kVariable = "CFACK_ONNXRUNTIME";
constexpr const char* kNames[] = {"libonnxruntime.so.1", "libonnxruntime.so"};
constexpr const char* kRemedy =
    "; give the path of a libonnxruntime.so (in the wheel `onnxruntime` it lies in onnxruntime/capi) as the option "
    "`onnxruntime` or in the environment variable CFACK_ONNXRUNTIME";

std::string loader_error() {
  const char* message = dlerror();
  return message == nullptr ? "unknown reason" : message;
}

void* open_library(const std::string& path) { return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL); }

bool says_memory(const std::string& message) {
  for (const char* words : {"Failed to allocate memory", "Available memory of", "bad_alloc", "out of memory"}) {
    if (message.find(words) != std::string::npos) return true;
  }
  return false;
}

// The path of the library behind an address, since the loader may have followed names and links.
std::string loaded_path(const void* symbol, const std::string& asked) {
  Dl_info info{};
  const bool known = dladdr(symbol, &info) != 0 && info.dli_fname != nullptr && info.dli_fname[0] == '/';
  return known ? info.dli_fname : asked;
}

}  // namespace

const OnnxRuntimeLibrary& OnnxRuntimeLibrary::find(const std::string& option) {
  static std::mutex mutex;
  static std::map<void*, std::unique_ptr<const OnnxRuntimeLibrary>>* loaded =
      new std::map<void*, std::unique_ptr<const OnnxRuntimeLibrary>>();  // outlives every static handle
  const char* variable = std::getenv(kVariable);
  std::string name = !option.empty() ? option : variable != nullptr ? variable : "";
  const std::lock_guard<std::mutex> lock(mutex);
  void* handle = nullptr;
  if (!name.empty()) {
    handle = open_library(name);
    if (handle == nullptr) {
      throw Error(CFACK_ERROR_BACKEND, (option.empty() ? std::string(kVariable) : std::string("option onnxruntime")) +
                                           " is " + name + ", which cannot be loaded: " + loader_error());
    }
  } else {
    std::string reason;
    for (const char* candidate : kNames) {
      name = candidate;
      handle = open_library(candidate);
      if (handle != nullptr) break;
      reason = loader_error();
    }
    if (handle == nullptr) throw Error(CFACK_ERROR_BACKEND, "ONNX Runtime is not found (" + reason + ")" + kRemedy);
  }
  std::unique_ptr<const OnnxRuntimeLibrary>& library = (*loaded)[handle];
  if (library == nullptr) library.reset(new OnnxRuntimeLibrary(name, handle));
  return *library;
}

OnnxRuntimeLibrary::OnnxRuntimeLibrary(std::string path, void* handle) : path_(std::move(path)) {
  void* symbol = dlsym(handle, "OrtGetApiBase");
  if (symbol == nullptr) throw Error(CFACK_ERROR_BACKEND, path_ + ": is no ONNX Runtime, it has no OrtGetApiBase");
  path_ = loaded_path(symbol, path_);
  const OrtApiBase* (*get_base)(void) = nullptr;
  std::memcpy(&get_base, &symbol, sizeof symbol);
  const OrtApiBase* base = get_base();
  version_ = base->GetVersionString();
  api_ = base->GetApi(kApiVersion);
  if (api_ == nullptr) {
    throw Error(CFACK_ERROR_BACKEND, path_ + ": is ONNX Runtime " + version_ + ", which does not have version " +
                                         std::to_string(kApiVersion) + " of its API (ONNX Runtime 1.17 and later do)" +
                                         kRemedy);
  }
  check(api_->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "cfack", &env_), path_);
  check(api_->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &cpu_), path_);
}

std::vector<std::string> OnnxRuntimeLibrary::providers() const {
  char** names = nullptr;
  int count = 0;
  check(api_->GetAvailableProviders(&names, &count), path_);
  std::vector<std::string> found(names, names + count);
  check(api_->ReleaseAvailableProviders(names, count), path_);
  return found;
}

std::shared_ptr<const void> OnnxRuntimeLibrary::limited_arena(uint64_t bytes) const {
  const std::lock_guard<std::mutex> lock(arena_mutex_);
  if (auto arena = arena_.lock()) {
    if (arena_bytes_ == bytes) return arena;
    throw Error(CFACK_ERROR_INVALID,
                "a bundle with another memory_limit is open; free it first, or give it the same one");
  }
  const char* keys[] = {"max_mem", "arena_extend_strategy"};
  const size_t values[] = {bytes, 1};  // 1: extend by what is asked for
  OrtArenaCfg* config = nullptr;
  check(api_->CreateArenaCfgV2(keys, values, 2, &config), path_);
  OrtStatus* status = api_->CreateAndRegisterAllocator(env_, cpu_, config);
  api_->ReleaseArenaCfg(config);
  check(status, path_);
  arena_bytes_ = bytes;
  std::shared_ptr<const void> arena(env_, [this](const void*) {
    OrtStatus* failure = api_->UnregisterAllocator(env_, cpu_);
    if (failure != nullptr) api_->ReleaseStatus(failure);
  });
  arena_ = arena;
  return arena;
}

void OnnxRuntimeLibrary::check(OrtStatus* status, const std::string& what) const {
  if (status == nullptr) return;
  const std::string message = api_->GetErrorMessage(status);
  api_->ReleaseStatus(status);
  throw Error(says_memory(message) ? CFACK_ERROR_MEMORY : CFACK_ERROR_BACKEND, what + ": " + message);
}

}  // namespace cfack
