#include "backend.h"

#include <cstring>

#include "error.h"

namespace cfack {

size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::kFloat32: return 4;
    case DType::kFloat16: return 2;
    case DType::kInt64: return 8;
    default: return 1;
  }
}

size_t TensorView::bytes() const {
  size_t count = dtype_size(dtype);
  for (size_t axis = 0; axis < rank; ++axis) count *= static_cast<size_t>(shape[axis]);
  return count;
}

std::string describe(const TensorView* views, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    text += (i == 0 ? "" : ", ") + std::string(views[i].name) + " (";
    for (size_t axis = 0; axis < views[i].rank; ++axis) {
      text += (axis == 0 ? "" : ", ") + std::to_string(views[i].shape[axis]);
    }
    text += ")";
  }
  return text;
}

bool runs_engines(int backend) {
  return backend == CFACK_BACKEND_TENSORRT_ENGINES || backend == CFACK_BACKEND_TENSORRT_RTX_ENGINES;
}

bool has_engines(int backend) {
  switch (backend) {
#ifdef CFACK_WITH_TENSORRT
    case CFACK_BACKEND_TENSORRT_ENGINES: return true;
#endif
#ifdef CFACK_WITH_TENSORRT_RTX
    case CFACK_BACKEND_TENSORRT_RTX_ENGINES: return true;
#endif
    default: return false;
  }
}

std::unique_ptr<BackendLibrary> open_library(const BackendOptions& options) {
#ifdef CFACK_WITH_TENSORRT
  if (options.backend == CFACK_BACKEND_TENSORRT_ENGINES) return open_tensorrt(options);
#endif
#ifdef CFACK_WITH_TENSORRT_RTX
  if (options.backend == CFACK_BACKEND_TENSORRT_RTX_ENGINES) return open_tensorrt_rtx(options);
#endif
  if (!runs_engines(options.backend)) return open_onnxruntime(options);
  const bool rtx = options.backend == CFACK_BACKEND_TENSORRT_RTX_ENGINES;
  throw Error(CFACK_ERROR_BACKEND, std::string("this libcfack was compiled without the headers of TensorRT") +
                                       (rtx ? "-RTX" : "") +
                                       ", so it runs none of its engines; build it where they are, or use "
                                       "CFACK_BACKEND_CUDA");
}

const TensorView& RunResult::get(const char* name) const {
  for (size_t i = 0; i < count_; ++i) {
    if (std::strcmp(views_[i].name, name) == 0) return views_[i];
  }
  throw Error(CFACK_ERROR_BACKEND, std::string("the graph gave no output ") + name);
}

DType Backend::input_dtype(const char* name) const {
  for (const TensorSpec& spec : inputs()) {
    if (spec.name == name) return spec.dtype == "float16" ? DType::kFloat16 : DType::kFloat32;
  }
  throw Error(CFACK_ERROR_BACKEND, std::string("the graph has no input ") + name);
}

}  // namespace cfack
