// Engines of TensorRT and of TensorRT-RTX, which are loaded when a program runs.
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>

#include "backend.h"
#include "cuda_driver.h"
#include "error.h"
#include "tensorrt_engine.h"
#include "tensorrt_library.h"

namespace cfack {
namespace CFACK_ENGINES {
namespace {

class Library : public BackendLibrary {
 public:
  explicit Library(const BackendOptions& options) : handle_(open(options.library)), device_(options.device) {
    for (const char* name : {"getInferLibMajorVersion", "getInferLibMinorVersion", "getInferLibPatchVersion",
                             "getInferLibBuildVersion"}) {
      target_.version += (target_.version.empty() ? "" : ".") + std::to_string(find<int32_t (*)()>(name)());
    }
    target_.builder = kBuilder;
    target_.compute_capability = device_.compute_capability();
    target_.gpu = device_.name();
    target_.device = options.device;
    const CudaDevice::Active active(device_);
    const auto create = find<void* (*)(void*, int32_t)>("createInferRuntime_INTERNAL");
    runtime_.reset(static_cast<trt::IRuntime*>(create(&log_, NV_TENSORRT_VERSION)));
    if (runtime_ != nullptr) return;
    throw Error(CFACK_ERROR_BACKEND, std::string(kTitle) + " " + target_.version +
                                         " cannot be used by a libcfack that was compiled for version " +
                                         std::to_string(NV_TENSORRT_MAJOR) + ": " + log_.take());
  }

  ~Library() override {
    try {
      const CudaDevice::Active active(device_);
      runtime_.reset();
    } catch (const Error&) {  // as for an engine
    }
  }

  const std::string& version() const override { return target_.version; }
  const EngineTarget* target() const override { return &target_; }

  std::unique_ptr<Backend> load(const uint8_t* data, uint64_t size, const std::string& source,
                                const EngineEntry* entry) const override {
    const CudaDevice::Active active(device_);
    std::unique_ptr<trt::ICudaEngine> engine(runtime_->deserializeCudaEngine(data, size));
    if (engine == nullptr) {
      throw Error(CFACK_ERROR_BACKEND, source + ": " + kTitle + " " + target_.version + " cannot load the engine: " +
                                           log_.take());
    }
    return std::make_unique<Engine>(device_, log_, std::move(engine), *entry, source);
  }

 private:
  // Never closed: it runs threads.
  static void* open(const std::string& option) {
    const char* variable = std::getenv(kVariable);
    const std::string name = !option.empty()       ? option
                             : variable != nullptr ? variable
                                                   : kStem + std::to_string(NV_TENSORRT_MAJOR);
    void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle != nullptr) return handle;
    const char* reason = dlerror();
    throw Error(CFACK_ERROR_BACKEND, name + ": " + kTitle + " cannot be loaded: " +
                                         (reason == nullptr ? "unknown reason" : reason) +
                                         "; give its path as the option `engine_library` or in the environment "
                                         "variable " + kVariable);
  }

  template <typename Function>
  Function find(const char* name) const {
    void* symbol = dlsym(handle_, name);
    if (symbol == nullptr) {
      throw Error(CFACK_ERROR_BACKEND,
                  std::string("the library that was loaded is no ") + kTitle + ", it has no " + name);
    }
    Function function = nullptr;
    std::memcpy(&function, &symbol, sizeof symbol);
    return function;
  }

  void* handle_;
  CudaDevice device_;
  EngineTarget target_;
  mutable Log log_;
  std::unique_ptr<trt::IRuntime> runtime_;
};

}  // namespace
}  // namespace CFACK_ENGINES

#ifdef CFACK_TENSORRT_RTX
std::unique_ptr<BackendLibrary> open_tensorrt_rtx(const BackendOptions& options) {
  return std::make_unique<CFACK_ENGINES::Library>(options);
}
#else
std::unique_ptr<BackendLibrary> open_tensorrt(const BackendOptions& options) {
  return std::make_unique<CFACK_ENGINES::Library>(options);
}
#endif

}  // namespace cfack
