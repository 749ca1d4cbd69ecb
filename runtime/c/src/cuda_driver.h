// GPU memory and streams by CUDA's driver, which is loaded when a program runs: its C interface is the same for all
// releases, so neither CUDA's headers nor its runtime library are needed.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace cfack {

struct CudaFunctions;

// One GPU in its primary context, which ONNX Runtime and PyTorch use too. Throws Error(CFACK_ERROR_BACKEND).
class CudaDevice {
 public:
  explicit CudaDevice(int index);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  const std::string& name() const { return name_; }
  const std::string& compute_capability() const { return compute_capability_; }

  // Makes it the calling thread's GPU as long as it lives; all other calls need that.
  class Active {
   public:
    explicit Active(const CudaDevice& device);
    ~Active();
    Active(const Active&) = delete;
    Active& operator=(const Active&) = delete;

   private:
    const CudaFunctions& cuda_;
  };

 private:
  friend class CudaStream;
  const CudaFunctions& cuda_;
  int device_ = 0;
  void* context_ = nullptr;
  std::string name_;
  std::string compute_capability_;
};

// A stream, and one buffer of GPU memory for each tensor that goes through it.
// Throws Error(CFACK_ERROR_MEMORY or CFACK_ERROR_BACKEND).
class CudaStream {
 public:
  explicit CudaStream(const CudaDevice& device);
  ~CudaStream();
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  void* handle() const { return stream_; }
  // A buffer of at least `size` bytes, which stays as it is if it suffices.
  void* reserve(const std::string& name, uint64_t size);
  void* upload(const std::string& name, const void* data, uint64_t size);
  // Into memory that holds it once `synchronize` returns.
  void download(const std::string& name, void* data, uint64_t size);
  void synchronize();

 private:
  struct Buffer {
    uint64_t address = 0;
    uint64_t size = 0;
  };

  const CudaFunctions& cuda_;
  void* stream_ = nullptr;
  std::map<std::string, Buffer> buffers_;
};

}  // namespace cfack
