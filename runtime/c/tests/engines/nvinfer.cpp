// Stand-in for TensorRT: an engine is a list of profiles and an ONNX file, which ONNX Runtime runs.
//
//     profiles 2
//     pixels 1,12,8,3 8,12,8,3 32,12,8,3      a line for each input, one profile after the other
//     (an empty line, then the ONNX file)
#include <NvInferRuntime.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "backend.h"

namespace {

using namespace nvinfer1;

Dims dims_of(const std::vector<int64_t>& shape) {
  Dims dims{};
  dims.nbDims = static_cast<int32_t>(shape.size());
  std::copy(shape.begin(), shape.end(), dims.d);
  return dims;
}

std::vector<int64_t> numbers(const std::string& text) {
  std::vector<int64_t> found;
  std::istringstream stream(text);
  for (std::string number; std::getline(stream, number, ',');) found.push_back(std::stoll(number));
  return found;
}

struct Loaded {
  std::unique_ptr<cfack::BackendLibrary> library;
  std::unique_ptr<cfack::Backend> graph;
  std::vector<std::map<std::string, std::vector<Dims>>> profiles;

  const cfack::TensorSpec& spec(int32_t index) const {
    const auto& inputs = graph->inputs();
    const auto i = static_cast<size_t>(index);
    return i < inputs.size() ? inputs[i] : graph->outputs()[i - inputs.size()];
  }
  const cfack::TensorSpec& spec(const std::string& name) const {
    int32_t index = 0;
    while (spec(index).name != name) ++index;
    return spec(index);
  }
};

cfack::DType dtype(const std::string& name) {
  return name == "float16" ? cfack::DType::kFloat16
         : name == "int64" ? cfack::DType::kInt64
         : name == "uint8" ? cfack::DType::kUint8
                           : cfack::DType::kFloat32;
}

class Context : public IExecutionContext {
 public:
  explicit Context(const Loaded& loaded) : loaded_(loaded) {}

  bool setOptimizationProfileAsync(int32_t profile, cudaStream_t stream) noexcept override {
    profile_ = profile;
    return stream != nullptr;
  }
  bool setInputShape(char const* name, Dims const& dims) noexcept override {
    const std::vector<Dims>& range = loaded_.profiles[static_cast<size_t>(profile_)].at(name);
    for (int32_t i = 0; i < dims.nbDims; ++i) {
      if (dims.d[i] < range[0].d[i] || dims.d[i] > range[2].d[i]) return false;
    }
    shapes_[name] = dims;
    return true;
  }
  bool setTensorAddress(char const* name, void* data) noexcept override { return addresses_[name] = data, true; }
  // Of all graphs, outputs are as many as there are rows in the largest input, and long as the text.
  Dims getTensorShape(char const* name) const noexcept override {
    Dims shape = dims_of(loaded_.spec(name).shape);
    for (const auto& input : shapes_) {
      if (shape.d[0] < input.second.d[0]) shape.d[0] = input.second.d[0];
      if (shape.nbDims == 3 && shape.d[1] < 0) shape.d[1] = input.second.d[1];
    }
    return shape;
  }
  bool enqueueV3(cudaStream_t) noexcept override {
    std::vector<cfack::TensorView> views;
    for (const cfack::TensorSpec& spec : loaded_.graph->inputs()) {
      const Dims& dims = shapes_.at(spec.name);
      cfack::TensorView view;
      view.name = spec.name.c_str();
      view.dtype = dtype(spec.dtype);
      view.rank = static_cast<size_t>(dims.nbDims);
      std::copy_n(dims.d, view.rank, view.shape);
      view.data = addresses_.at(spec.name);
      views.push_back(view);
    }
    cfack::RunResult result;
    loaded_.graph->run(views.data(), views.size(), &result);
    for (const cfack::TensorSpec& spec : loaded_.graph->outputs()) {
      const cfack::TensorView& view = result.get(spec.name.c_str());
      std::memcpy(addresses_.at(spec.name), view.data, view.bytes());
    }
    return true;
  }

 private:
  const Loaded& loaded_;
  int32_t profile_ = -1;
  std::map<std::string, Dims> shapes_;
  std::map<std::string, void*> addresses_;
};

class Engine : public ICudaEngine {
 public:
  explicit Engine(Loaded loaded) : loaded_(std::move(loaded)) {}

  int32_t getNbIOTensors() const noexcept override {
    return static_cast<int32_t>(loaded_.graph->inputs().size() + loaded_.graph->outputs().size());
  }
  char const* getIOTensorName(int32_t index) const noexcept override { return loaded_.spec(index).name.c_str(); }
  TensorIOMode getTensorIOMode(char const* name) const noexcept override {
    for (const auto& spec : loaded_.graph->inputs()) {
      if (spec.name == name) return TensorIOMode::kINPUT;
    }
    return TensorIOMode::kOUTPUT;
  }
  DataType getTensorDataType(char const* name) const noexcept override {
    switch (dtype(loaded_.spec(name).dtype)) {
      case cfack::DType::kFloat16: return DataType::kHALF;
      case cfack::DType::kInt64: return DataType::kINT64;
      case cfack::DType::kUint8: return DataType::kUINT8;
      default: return DataType::kFLOAT;
    }
  }
  Dims getTensorShape(char const* name) const noexcept override { return dims_of(loaded_.spec(name).shape); }
  int32_t getNbOptimizationProfiles() const noexcept override { return static_cast<int32_t>(loaded_.profiles.size()); }
  Dims getProfileShape(char const* name, int32_t profile, OptProfileSelector select) const noexcept override {
    return loaded_.profiles[static_cast<size_t>(profile)].at(name)[static_cast<size_t>(select)];
  }
  IExecutionContext* createExecutionContext(ExecutionContextAllocationStrategy) noexcept override {
    return new Context(loaded_);
  }

 private:
  Loaded loaded_;
};

class Runtime : public IRuntime {
 public:
  explicit Runtime(ILogger& log) : log_(log) {}

  ICudaEngine* deserializeCudaEngine(void const* blob, size_t size) noexcept override {
    const std::string bytes(static_cast<const char*>(blob), size);
    const size_t end = bytes.find("\n\n");
    if (bytes.rfind("profiles ", 0) != 0 || end == std::string::npos) {
      log_.log(ILogger::Severity::kWARNING, "a warning");
      log_.log(ILogger::Severity::kERROR, "this is no engine");
      return nullptr;
    }
    Loaded loaded;
    loaded.library = cfack::open_onnxruntime({});
    const auto* onnx = reinterpret_cast<const uint8_t*>(bytes.data()) + end + 2;
    loaded.graph = loaded.library->load(onnx, size - end - 2, "the stand-in", nullptr);
    std::istringstream lines(bytes.substr(9, end - 9));
    size_t count = 0;
    lines >> count;
    loaded.profiles.resize(count);
    for (auto& profile : loaded.profiles) {
      for (size_t i = 0; i < loaded.graph->inputs().size(); ++i) {
        std::string name, low, best, high;
        lines >> name >> low >> best >> high;
        profile[name] = {dims_of(numbers(low)), dims_of(numbers(best)), dims_of(numbers(high))};
      }
    }
    return new Engine(std::move(loaded));
  }

 private:
  ILogger& log_;
};

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int32_t getInferLibMajorVersion() { return 10; }
EXPORT int32_t getInferLibMinorVersion() { return 13; }
EXPORT int32_t getInferLibPatchVersion() { return 2; }
EXPORT int32_t getInferLibBuildVersion() { return 6; }
EXPORT void* createInferRuntime_INTERNAL(void* log, int32_t version) {
  return version / 10000 == 10 ? new Runtime(*static_cast<ILogger*>(log)) : nullptr;
}
