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
