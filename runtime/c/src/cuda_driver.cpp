#include "cuda_driver.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>

#include "error.h"

namespace cfack {

// What is called of cuda.h: a CUresult is an int, a CUdeviceptr 64 bits, all handles are pointers.
struct CudaFunctions {
  int (*init)(unsigned flags);
  int (*device_get)(int* device, int index);
  int (*device_name)(char* name, int size, int device);
  int (*device_attribute)(int* value, int attribute, int device);
  int (*context_retain)(void** context, int device);
  int (*context_release)(int device);
  int (*context_push)(void* context);
  int (*context_pop)(void** context);
  int (*stream_create)(void** stream, unsigned flags);
  int (*stream_destroy)(void* stream);
  int (*stream_synchronize)(void* stream);
  int (*memory_allocate)(uint64_t* address, size_t size);
  int (*memory_free)(uint64_t address);
  int (*copy_in)(uint64_t to, const void* from, size_t size, void* stream);
  int (*copy_out)(void* to, uint64_t from, size_t size, void* stream);

  void check(int status, const char* what) const {
    if (status == 0) return;
    throw Error(status == kNoMemory ? CFACK_ERROR_MEMORY : CFACK_ERROR_BACKEND,
                std::string("the NVIDIA driver cannot ") + what + ": CUDA error " + std::to_string(status) +
                    (status == kNoDevice ? ", it sees no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES" : ""));
  }

  static constexpr int kNoMemory = 2, kNoDevice = 100;
};

namespace {

constexpr int kMajor = 75, kMinor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_...

template <typename Function>
void find(void* library, const char* name, Function* function) {
  void* symbol = dlsym(library, name);
  if (symbol == nullptr) {
    throw Error(CFACK_ERROR_BACKEND,
                std::string("the NVIDIA driver is too old, it has no ") + name + "; install a newer one");
  }
  std::memcpy(function, &symbol, sizeof symbol);
}

CudaFunctions load() {
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw Error(CFACK_ERROR_BACKEND,
                "there is no NVIDIA driver here (libcuda.so.1 cannot be loaded); install it, or use the CPU");
  }
  CudaFunctions cuda{};
  find(library, "cuInit", &cuda.init);
  find(library, "cuDeviceGet", &cuda.device_get);
  find(library, "cuDeviceGetName", &cuda.device_name);
  find(library, "cuDeviceGetAttribute", &cuda.device_attribute);
  find(library, "cuDevicePrimaryCtxRetain", &cuda.context_retain);
  find(library, "cuDevicePrimaryCtxRelease_v2", &cuda.context_release);
  find(library, "cuCtxPushCurrent_v2", &cuda.context_push);
  find(library, "cuCtxPopCurrent_v2", &cuda.context_pop);
  find(library, "cuStreamCreate", &cuda.stream_create);
  find(library, "cuStreamDestroy_v2", &cuda.stream_destroy);
  find(library, "cuStreamSynchronize", &cuda.stream_synchronize);
  find(library, "cuMemAlloc_v2", &cuda.memory_allocate);
  find(library, "cuMemFree_v2", &cuda.memory_free);
  find(library, "cuMemcpyHtoDAsync_v2", &cuda.copy_in);
  find(library, "cuMemcpyDtoHAsync_v2", &cuda.copy_out);
  cuda.check(cuda.init(0), "start");
  return cuda;
}

const CudaFunctions& functions() {
  static const CudaFunctions loaded = load();  // tried again by the next call if it throws
  return loaded;
}

void* pointer(uint64_t address) { return reinterpret_cast<void*>(static_cast<uintptr_t>(address)); }

}  // namespace

CudaDevice::CudaDevice(int index) : cuda_(functions()) {
  char name[256] = "";
  int major = 0, minor = 0;
  cuda_.check(cuda_.device_get(&device_, index), ("use GPU " + std::to_string(index)).c_str());
  cuda_.check(cuda_.device_name(name, sizeof name, device_), "tell the GPU's name");
  cuda_.check(cuda_.device_attribute(&major, kMajor, device_), "tell what the GPU can do");
  cuda_.check(cuda_.device_attribute(&minor, kMinor, device_), "tell what the GPU can do");
  cuda_.check(cuda_.context_retain(&context_, device_), "use the GPU");
  name_ = name;
  compute_capability_ = std::to_string(major) + "." + std::to_string(minor);
}

CudaDevice::~CudaDevice() { cuda_.context_release(device_); }

CudaDevice::Active::Active(const CudaDevice& device) : cuda_(device.cuda_) {
  cuda_.check(cuda_.context_push(device.context_), "use the GPU in this thread");
}

CudaDevice::Active::~Active() {
  void* popped = nullptr;
  cuda_.context_pop(&popped);
}

CudaStream::CudaStream(const CudaDevice& device) : cuda_(device.cuda_) {
  const unsigned not_waiting_for_the_default_stream = 1;
  cuda_.check(cuda_.stream_create(&stream_, not_waiting_for_the_default_stream), "make a stream");
}

CudaStream::~CudaStream() {
  cuda_.stream_synchronize(stream_);
  for (const auto& buffer : buffers_) {
    if (buffer.second.address != 0) cuda_.memory_free(buffer.second.address);
  }
  cuda_.stream_destroy(stream_);
}

void* CudaStream::reserve(const std::string& name, uint64_t size) {
  Buffer& buffer = buffers_[name];
  if (buffer.address != 0 && buffer.size >= size) return pointer(buffer.address);
  if (buffer.address != 0) cuda_.memory_free(buffer.address);  // first, so that both need not fit
  buffer = Buffer{};
  uint64_t address = 0;
  cuda_.check(cuda_.memory_allocate(&address, std::max<uint64_t>(size, 1)), "give memory");
  buffer = {address, size};
  return pointer(address);
}

void* CudaStream::upload(const std::string& name, const void* data, uint64_t size) {
  void* address = reserve(name, size);
  cuda_.check(cuda_.copy_in(buffers_[name].address, data, size, stream_), "copy to the GPU");
  return address;
}

void CudaStream::download(const std::string& name, void* data, uint64_t size) {
  cuda_.check(cuda_.copy_out(data, buffers_[name].address, size, stream_), "copy from the GPU");
}

void CudaStream::synchronize() { cuda_.check(cuda_.stream_synchronize(stream_), "finish"); }

}  // namespace cfack
