// Stand-in for libcuda: the memory is the program's own. It insists, as the driver does, that the calling thread has
// made the GPU its own.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int kInvalidValue = 1, kNoMemory = 2, kNoDevice = 100, kNoContext = 201;
constexpr size_t kMemory = size_t{1} << 28;
thread_local int depth = 0;
char context_of_its_own;

void* at(uint64_t address) { return reinterpret_cast<void*>(static_cast<uintptr_t>(address)); }

}  // namespace

EXPORT int cuInit(unsigned) { return 0; }
EXPORT int cuDeviceGet(int* device, int index) { return *device = index, index == 0 ? 0 : kNoDevice; }
EXPORT int cuDeviceGetName(char* name, int size, int) {
  return std::strncpy(name, "Stand-in GPU", static_cast<size_t>(size)), 0;
}
EXPORT int cuDeviceGetAttribute(int* value, int attribute, int) { return *value = attribute == 75 ? 8 : 9, 0; }
EXPORT int cuDevicePrimaryCtxRetain(void** context, int) { return *context = &context_of_its_own, 0; }
EXPORT int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
EXPORT int cuCtxPushCurrent_v2(void* context) { return ++depth, context == &context_of_its_own ? 0 : kInvalidValue; }
EXPORT int cuCtxPopCurrent_v2(void** context) { return *context = &context_of_its_own, depth-- > 0 ? 0 : kNoContext; }
EXPORT int cuStreamCreate(void** stream, unsigned flags) {
  if (depth == 0 || flags != 1) return kNoContext;
  return *stream = std::malloc(1), 0;
}
EXPORT int cuStreamDestroy_v2(void* stream) { return std::free(stream), depth == 0 ? kNoContext : 0; }
EXPORT int cuStreamSynchronize(void*) { return depth == 0 ? kNoContext : 0; }
EXPORT int cuMemAlloc_v2(uint64_t* address, size_t size) {
  if (depth == 0) return kNoContext;
  if (size > kMemory) return kNoMemory;
  *address = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(std::malloc(size)));
  return 0;
}
EXPORT int cuMemFree_v2(uint64_t address) { return std::free(at(address)), depth == 0 ? kNoContext : 0; }
EXPORT int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t size, void*) {
  return std::memcpy(at(to), from, size), depth == 0 ? kNoContext : 0;
}
EXPORT int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t size, void*) {
  return std::memcpy(to, at(from), size), depth == 0 ? kNoContext : 0;
}
