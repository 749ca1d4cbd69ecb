// One engine on one GPU.
//
// A context of an engine serves one thread and one profile. Every profile has its own stack of them: a call takes
// one that is free, or makes another, and puts it back; one whose call failed is thrown away.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend.h"
#include "cuda_driver.h"
#include "tensorrt_library.h"

namespace cfack {
namespace CFACK_ENGINES {

class Engine : public Backend {
 public:
  // Throws Error(CFACK_ERROR_BUNDLE) if the engine is not what the manifest says. `source` is for messages.
  Engine(const CudaDevice& device, Log& log, std::unique_ptr<trt::ICudaEngine> engine, const EngineEntry& entry,
         std::string source);
  ~Engine() override;

  const std::vector<TensorSpec>& inputs() const override { return inputs_; }
  const std::vector<TensorSpec>& outputs() const override { return outputs_; }
  void run(const TensorView* views, size_t count, RunResult* result) const override;

 private:
  struct Lane {
    explicit Lane(const CudaDevice& device) : stream(device) {}
    CudaStream stream;
    std::unique_ptr<trt::IExecutionContext> context;  // freed before its stream
    cudaStream_t handle() const { return static_cast<cudaStream_t>(stream.handle()); }
  };

  [[noreturn]] void refuse(const std::string& what) const;
  [[noreturn]] void fail(const std::string& what) const;
  void require_profiles(const EngineEntry& entry) const;
  size_t find_profile(const TensorView* views, size_t count) const;
  std::unique_ptr<Lane> take(size_t profile) const;
  void execute(Lane& lane, const TensorView* views, size_t count, RunResult* result) const;
  TensorView output(const trt::IExecutionContext& context, const TensorSpec& spec) const;

  const CudaDevice& device_;
  Log& log_;
  std::unique_ptr<trt::ICudaEngine> engine_;
  std::string source_;
  std::vector<TensorSpec> inputs_, outputs_;
  std::vector<std::map<std::string, ShapeRange>> profiles_;
  mutable std::mutex mutex_;
  mutable std::vector<std::vector<std::unique_ptr<Lane>>> free_;
};

}  // namespace CFACK_ENGINES
}  // namespace cfack
