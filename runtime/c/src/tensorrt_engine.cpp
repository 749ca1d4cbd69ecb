#include "tensorrt_engine.h"

#include <algorithm>
#include <iterator>

#include "error.h"

namespace cfack {
namespace CFACK_ENGINES {
namespace {

const char* dtype_name(trt::DataType type) {
  switch (type) {
    case trt::DataType::kFLOAT: return "float32";
    case trt::DataType::kHALF: return "float16";
    case trt::DataType::kINT64: return "int64";
    case trt::DataType::kUINT8: return "uint8";
    default: return "another type";
  }
}

std::vector<int64_t> axes(const trt::Dims& dims) { return {dims.d, dims.d + std::max(dims.nbDims, 0)}; }

void free_bytes(const void*, void* bytes) { delete[] static_cast<uint8_t*>(bytes); }

}  // namespace

Engine::Engine(const CudaDevice& device, Log& log, std::unique_ptr<trt::ICudaEngine> engine, const EngineEntry& entry,
               std::string source)
    : device_(device), log_(log), engine_(std::move(engine)), source_(std::move(source)) {
  for (int32_t i = 0; i < engine_->getNbIOTensors(); ++i) {
    const char* name = engine_->getIOTensorName(i);
    TensorSpec spec{name, dtype_name(engine_->getTensorDataType(name)), axes(engine_->getTensorShape(name))};
    (engine_->getTensorIOMode(name) == trt::TensorIOMode::kINPUT ? inputs_ : outputs_).push_back(std::move(spec));
  }
  if (outputs_.empty() || outputs_.size() > RunResult::kMost) refuse("inputs and outputs");
  require_profiles(entry);
  profiles_ = entry.profiles;
  free_.resize(profiles_.size());
}

Engine::~Engine() {
  try {
    const CudaDevice::Active active(device_);
    free_.clear();
    engine_.reset();
  } catch (const Error&) {  // a GPU that is gone has freed everything
  }
}

void Engine::run(const TensorView* views, size_t count, RunResult* result) const {
  const size_t profile = find_profile(views, count);
  const CudaDevice::Active active(device_);
  std::unique_ptr<Lane> lane = take(profile);
  execute(*lane, views, count, result);
  const std::lock_guard<std::mutex> lock(mutex_);
  free_[profile].push_back(std::move(lane));
}

void Engine::refuse(const std::string& what) const {
  throw Error(CFACK_ERROR_BUNDLE, source_ + ": the engine has other " + what + " than the manifest says; build the "
                                                                               "engines again");
}

void Engine::fail(const std::string& what) const {
  throw Error(CFACK_ERROR_BACKEND, source_ + ": " + kTitle + " " + what + ": " + log_.take());
}

void Engine::require_profiles(const EngineEntry& entry) const {
  if (engine_->getNbOptimizationProfiles() != static_cast<int32_t>(entry.profiles.size())) refuse("profiles");
  for (size_t i = 0; i < entry.profiles.size(); ++i) {
    for (const auto& [name, range] : entry.profiles[i]) {
      const auto shape = [&, index = static_cast<int32_t>(i), input = name.c_str()](trt::OptProfileSelector which) {
        return axes(engine_->getProfileShape(input, index, which));
      };
      if (shape(trt::OptProfileSelector::kMIN) != range.min || shape(trt::OptProfileSelector::kOPT) != range.opt ||
          shape(trt::OptProfileSelector::kMAX) != range.max) {
        refuse("profiles");
      }
    }
  }
}

size_t Engine::find_profile(const TensorView* views, size_t count) const {
  for (size_t i = 0; i < profiles_.size(); ++i) {
    const bool fits = std::all_of(views, views + count, [&](const TensorView& view) {
      const auto found = profiles_[i].find(view.name);
      if (found == profiles_[i].end() || found->second.min.size() != view.rank) return false;
      for (size_t axis = 0; axis < view.rank; ++axis) {
        if (view.shape[axis] < found->second.min[axis] || view.shape[axis] > found->second.max[axis]) return false;
      }
      return true;
    });
    if (fits) return i;
  }
  throw Error(CFACK_ERROR_BACKEND, source_ + ": was built for other sizes than " + describe(views, count) +
                                       "; build engines with other profiles");
}

std::unique_ptr<Engine::Lane> Engine::take(size_t profile) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!free_[profile].empty()) {
    std::unique_ptr<Lane> lane = std::move(free_[profile].back());
    free_[profile].pop_back();
    return lane;
  }
  auto lane = std::make_unique<Lane>(device_);
  lane->context.reset(engine_->createExecutionContext(trt::ExecutionContextAllocationStrategy::kON_PROFILE_CHANGE));
  if (lane->context == nullptr) fail("makes no context, most likely for want of GPU memory");
  if (!lane->context->setOptimizationProfileAsync(static_cast<int32_t>(profile), lane->handle())) {
    fail("refuses profile " + std::to_string(profile));
  }
  lane->stream.synchronize();
  return lane;
}

void Engine::execute(Lane& lane, const TensorView* views, size_t count, RunResult* result) const {
  trt::IExecutionContext& context = *lane.context;
  for (size_t i = 0; i < count; ++i) {
    const TensorView& view = views[i];
    trt::Dims dims{};
    dims.nbDims = static_cast<int32_t>(view.rank);
    std::copy_n(view.shape, view.rank, dims.d);
    if (!context.setInputShape(view.name, dims)) fail("refuses " + describe(&view, 1));
    context.setTensorAddress(view.name, lane.stream.upload(view.name, view.data, view.bytes()));
  }
  TensorView found[RunResult::kMost];
  for (size_t i = 0; i < outputs_.size(); ++i) {
    found[i] = output(context, outputs_[i]);
    context.setTensorAddress(found[i].name, lane.stream.reserve(found[i].name, found[i].bytes()));
  }
  if (!context.enqueueV3(lane.handle())) fail("failed on " + describe(views, count));
  result->clear();
  for (size_t i = 0; i < outputs_.size(); ++i) {
    auto memory = std::make_unique<uint8_t[]>(found[i].bytes());
    found[i].data = memory.get();
    result->add(found[i], memory.release(), this, free_bytes);
    lane.stream.download(found[i].name, const_cast<void*>(found[i].data), found[i].bytes());
  }
  lane.stream.synchronize();
}

TensorView Engine::output(const trt::IExecutionContext& context, const TensorSpec& spec) const {
  const std::vector<int64_t> shape = axes(context.getTensorShape(spec.name.c_str()));
  const bool known = std::all_of(shape.begin(), shape.end(), [](int64_t size) { return size >= 0; });
  TensorView view;
  if (!known || shape.size() > std::size(view.shape)) fail("gives " + spec.name + " no shape before it runs");
  view.name = spec.name.c_str();
  view.dtype = spec.dtype == "float16" ? DType::kFloat16 : DType::kFloat32;
  view.rank = shape.size();
  std::copy(shape.begin(), shape.end(), view.shape);
  return view;
}

}  // namespace CFACK_ENGINES
}  // namespace cfack
