// Graphs as sessions of ONNX Runtime, on CPU, CUDA or TensorRT.

#include <algorithm>
#include <cstring>

#include "backend.h"
#include "error.h"
#include "onnxruntime_library.h"

namespace cfack {
namespace {

constexpr size_t kMostInputs = 3;
constexpr size_t kMostAxes = 4;

// Their CPU kernels take longer than the two operators that each replaces: the first four times as long, a seventh of
// an INT8 re-ranking; the second an eighth longer, a hundredth of encoding an image. ONNX Runtime's header says that
// commas part them; its code looks for semicolons, and ignores names that it does not know.
constexpr const char* kSlowOnCpu = "SkipLayerNormFusion;BiasGeluFusion";

const char* dtype_name(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT: return "float32";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16: return "float16";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64: return "int64";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8: return "uint8";
    default: return "another type";
  }
}

ONNXTensorElementDataType element_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat32: return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    case DType::kFloat16: return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    case DType::kInt64: return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
    default: return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
  }
}

// Frees an object of ONNX Runtime at the end of its scope.
template <typename T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

class Session : public Backend {
 public:
  Session(const OnnxRuntimeLibrary& library, OrtSession* session, std::shared_ptr<const void> arena,
          std::string source)
      : library_(library),
        session_(session, library.api().ReleaseSession),
        arena_(std::move(arena)),
        source_(std::move(source)) {
    read_specs(true, &inputs_);
    read_specs(false, &outputs_);
    for (const TensorSpec& spec : outputs_) output_names_.push_back(spec.name.c_str());
    if (outputs_.empty() || outputs_.size() > RunResult::kMost || inputs_.size() > kMostInputs) {
      throw Error(CFACK_ERROR_BUNDLE, source_ + ": has other inputs and outputs than a bundle's graphs; export again");
    }
  }

  const std::vector<TensorSpec>& inputs() const override { return inputs_; }
  const std::vector<TensorSpec>& outputs() const override { return outputs_; }

  void run(const TensorView* views, size_t count, RunResult* result) const override {
    const OrtApi& api = library_.api();
    Values values(api);
    const char* names[kMostInputs] = {};
    for (size_t i = 0; i < count; ++i) {
      const TensorView& view = views[i];
      names[i] = view.name;
      library_.check(
          api.CreateTensorWithDataAsOrtValue(library_.cpu(), const_cast<void*>(view.data), view.bytes(), view.shape,
                                             view.rank, element_type(view.dtype), &values.inputs[i]),
          source_);
    }
    OrtStatus* status = api.Run(session_.get(), nullptr, names, values.inputs, count, output_names_.data(),
                                output_names_.size(), values.outputs);
    if (status != nullptr) library_.check(status, source_ + ": failed on " + describe(views, count));
    result->clear();
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const TensorView view = output_view(i, values.outputs[i]);
      result->add(view, values.outputs[i], &api, release_value);
      values.outputs[i] = nullptr;
    }
  }

 private:
  struct Values {
    explicit Values(const OrtApi& used) : api(used) {}
    Values(const Values&) = delete;
    Values& operator=(const Values&) = delete;
    ~Values() {
      for (OrtValue* value : inputs) api.ReleaseValue(value);
      for (OrtValue* value : outputs) api.ReleaseValue(value);
    }
    const OrtApi& api;
    OrtValue* inputs[kMostInputs] = {};
    OrtValue* outputs[RunResult::kMost] = {};
  };

  static void release_value(const void* api, void* value) {
    static_cast<const OrtApi*>(api)->ReleaseValue(static_cast<OrtValue*>(value));
  }

  TensorView output_view(size_t index, OrtValue* value) const {
    const OrtApi& api = library_.api();
    OrtTensorTypeAndShapeInfo* info = nullptr;
    library_.check(api.GetTensorTypeAndShape(value, &info), source_);
    const Owned<OrtTensorTypeAndShapeInfo> owned(info, api.ReleaseTensorTypeAndShapeInfo);
    TensorView view;
    view.name = output_names_[index];
    view.dtype = outputs_[index].dtype == "float16" ? DType::kFloat16 : DType::kFloat32;
    library_.check(api.GetDimensionsCount(info, &view.rank), source_);
    if (view.rank > kMostAxes) throw Error(CFACK_ERROR_BACKEND, source_ + ": an output has too many axes");
    library_.check(api.GetDimensions(info, view.shape, view.rank), source_);
    void* data = nullptr;
    library_.check(api.GetTensorMutableData(value, &data), source_);
    view.data = data;
    return view;
  }

  void read_specs(bool is_input, std::vector<TensorSpec>* specs) const {
    const OrtApi& api = library_.api();
    OrtAllocator* allocator = nullptr;
    library_.check(api.GetAllocatorWithDefaultOptions(&allocator), source_);
    size_t count = 0;
    library_.check(is_input ? api.SessionGetInputCount(session_.get(), &count)
                            : api.SessionGetOutputCount(session_.get(), &count),
                   source_);
    for (size_t i = 0; i < count; ++i) {
      char* name = nullptr;
      library_.check(is_input ? api.SessionGetInputName(session_.get(), i, allocator, &name)
                              : api.SessionGetOutputName(session_.get(), i, allocator, &name),
                     source_);
      TensorSpec spec{name, "no tensor", {}};
      library_.check(api.AllocatorFree(allocator, name), source_);
      OrtTypeInfo* type = nullptr;
      library_.check(is_input ? api.SessionGetInputTypeInfo(session_.get(), i, &type)
                              : api.SessionGetOutputTypeInfo(session_.get(), i, &type),
                     source_);
      const Owned<OrtTypeInfo> owned(type, api.ReleaseTypeInfo);
      const OrtTensorTypeAndShapeInfo* info = nullptr;
      library_.check(api.CastTypeInfoToTensorInfo(type, &info), source_);
      if (info != nullptr) read_shape(info, &spec);
      specs->push_back(std::move(spec));
    }
  }

  void read_shape(const OrtTensorTypeAndShapeInfo* info, TensorSpec* spec) const {
    const OrtApi& api = library_.api();
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    size_t rank = 0;
    library_.check(api.GetTensorElementType(info, &type), source_);
    library_.check(api.GetDimensionsCount(info, &rank), source_);
    spec->dtype = dtype_name(type);
    spec->shape.resize(rank);
    library_.check(api.GetDimensions(info, spec->shape.data(), rank), source_);
    for (int64_t& axis : spec->shape) axis = axis < 0 ? -1 : axis;
  }

  const OnnxRuntimeLibrary& library_;
  Owned<OrtSession> session_;
  std::shared_ptr<const void> arena_;
  std::string source_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  std::vector<const char*> output_names_;
};

class OnnxRuntime : public BackendLibrary {
 public:
  explicit OnnxRuntime(const BackendOptions& options)
      : library_(OnnxRuntimeLibrary::find(options.library)), options_(options) {
    require_provider();
    if (options_.memory_limit != 0 && options_.backend == CFACK_BACKEND_CPU) {
      arena_ = library_.limited_arena(options_.memory_limit);
    }
  }

  const std::string& version() const override { return library_.version(); }

  std::unique_ptr<Backend> load(const uint8_t* data, uint64_t size, const std::string& source,
                                const EngineEntry*) const override {
    const OrtApi& api = library_.api();
    const std::string what = source + ": ONNX Runtime cannot load it";
    OrtSessionOptions* settings = nullptr;
    library_.check(api.CreateSessionOptions(&settings), what);
    const Owned<OrtSessionOptions> owned(settings, api.ReleaseSessionOptions);
    // Shapes vary from call to call, so the memory pattern of the first one is of no use; the graphs are chains, so
    // there is nothing to run side by side; and a library does not write to stderr.
    library_.check(api.DisableMemPattern(settings), what);
    library_.check(api.SetInterOpNumThreads(settings, 1), what);
    library_.check(api.SetSessionLogSeverityLevel(settings, ORT_LOGGING_LEVEL_FATAL), what);
    if (options_.backend == CFACK_BACKEND_CPU) {
      library_.check(api.AddSessionConfigEntry(settings, "optimization.disable_specified_optimizers", kSlowOnCpu),
                     what);
    }
    if (options_.threads > 0) library_.check(api.SetIntraOpNumThreads(settings, options_.threads), what);
    if (arena_ != nullptr) {
      library_.check(api.AddSessionConfigEntry(settings, "session.use_env_allocators", "1"), what);
      library_.check(api.AddSessionConfigEntry(settings, "session.use_device_allocator_for_initializers", "1"), what);
    }
    if (options_.backend == CFACK_BACKEND_TENSORRT) add_tensorrt(settings);
    if (options_.backend != CFACK_BACKEND_CPU) add_cuda(settings);
    OrtSession* session = nullptr;
    library_.check(api.CreateSessionFromArray(library_.env(), data, size, settings, &session), what);
    return std::make_unique<Session>(library_, session, arena_, source);
  }

 private:
  void require_provider() const {
    if (options_.backend == CFACK_BACKEND_CPU) return;
    const std::string wanted =
        options_.backend == CFACK_BACKEND_CUDA ? "CUDAExecutionProvider" : "TensorrtExecutionProvider";
    const std::vector<std::string> found = library_.providers();
    if (std::find(found.begin(), found.end(), wanted) != found.end()) return;
    std::string names;
    for (const std::string& name : found) names += (names.empty() ? "" : ", ") + name;
    throw Error(CFACK_ERROR_BACKEND, library_.path() + ": ONNX Runtime " + library_.version() + " has no " + wanted +
                                         ", only " + names +
                                         "; give the library of an onnxruntime-gpu, or use the CPU");
  }

  // Appending a provider whose own libraries are missing is an error, so nothing falls back in silence. By default
  // FP32 products are rounded to TensorFloat-32; a precision is a property of the graph.
  void add_cuda(OrtSessionOptions* settings) const {
    const OrtApi& api = library_.api();
    const std::string what = "CUDA cannot be used by ONNX Runtime " + library_.version();
    OrtCUDAProviderOptionsV2* cuda = nullptr;
    library_.check(api.CreateCUDAProviderOptions(&cuda), what);
    const Owned<OrtCUDAProviderOptionsV2> owned(cuda, api.ReleaseCUDAProviderOptions);
    const std::string device = std::to_string(options_.device);
    const std::string limit = std::to_string(options_.memory_limit);
    const char* keys[] = {"device_id", "arena_extend_strategy", "use_tf32", "gpu_mem_limit"};
    const char* values[] = {device.c_str(), "kSameAsRequested", "0", limit.c_str()};
    library_.check(api.UpdateCUDAProviderOptions(cuda, keys, values, options_.memory_limit == 0 ? 3 : 4), what);
    library_.check(api.SessionOptionsAppendExecutionProvider_CUDA_V2(settings, cuda), what);
  }

  void add_tensorrt(OrtSessionOptions* settings) const {
    const OrtApi& api = library_.api();
    const std::string what = "TensorRT cannot be used by ONNX Runtime " + library_.version();
    OrtTensorRTProviderOptionsV2* tensorrt = nullptr;
    library_.check(api.CreateTensorRTProviderOptions(&tensorrt), what);
    const Owned<OrtTensorRTProviderOptionsV2> owned(tensorrt, api.ReleaseTensorRTProviderOptions);
    const std::string device = std::to_string(options_.device);
    const char* keys[] = {"device_id"};
    const char* values[] = {device.c_str()};
    library_.check(api.UpdateTensorRTProviderOptions(tensorrt, keys, values, 1), what);
    library_.check(api.SessionOptionsAppendExecutionProvider_TensorRT_V2(settings, tensorrt), what);
  }

  const OnnxRuntimeLibrary& library_;
  BackendOptions options_;
  std::shared_ptr<const void> arena_;
};

}  // namespace

std::unique_ptr<BackendLibrary> open_onnxruntime(const BackendOptions& options) {
  return std::make_unique<OnnxRuntime>(options);
}

}  // namespace cfack
