#include "int8_products.h"

#include <algorithm>
#include <string>
#include <vector>

#include "encoders.h"
#include "error.h"

namespace cfack {
namespace {

// ONNX, opset 17: y = Cast(MatMulInteger(x, Expand(int8 127, (64, 64))), float32), x uint8 (n, 64).
constexpr char kGraph[] =
    "\010\010:\214\001\012\021\012\001w\012\001s\022\001b\"\006Expand\012\030\012\001x\012"
    "\001b\022\001p\"\015MatMulInteger\012\027\012\001p\022\001y\"\004"
    "Cast*\011\012\002to\030\001\240\001\002\022\001g*\010\020\003*\001\177B\001w*\013"
    "\010\002\020\007:\002@@B\001sZ\024\012\001x\022\017\012\015\010\002\022\011\012\003\022\001n\012"
    "\002\010@b\024\012\001y\022\017\012\015\010\001\022\011\012\003\022\001n\012\002\010@B\004\012\000\020"
    "\021";
constexpr size_t kRows = 16, kWidth = 64;
constexpr uint8_t kLargest = 255;

}  // namespace

void require_exact_products(const BackendLibrary& library) {
  const std::string what = "precision int8-cpu";
  const auto* bytes = reinterpret_cast<const uint8_t*>(kGraph);
  const std::unique_ptr<Backend> graph = library.load(bytes, sizeof kGraph - 1, what, nullptr);
  const std::vector<uint8_t> largest(kRows * kWidth, kLargest);
  const TensorView view = tensor("x", DType::kUint8, {kRows, kWidth}, largest.data());
  RunResult result;
  graph->run(&view, 1, &result);
  const auto* sums = static_cast<const float*>(result.get("y").data);
  constexpr float expected = float{kLargest} * 127 * kWidth;
  const float got = *std::min_element(sums, sums + kRows * kWidth);
  if (got == expected) return;
  throw Error(CFACK_ERROR_BACKEND, what + " is not run here: this processor adds 8-bit products up inexactly (got " +
                                       std::to_string(static_cast<long>(got)) + ", expected " +
                                       std::to_string(static_cast<long>(expected)) +
                                       "), as those without AVX512-VNNI or AVX-VNNI do; use fp32");
}

}  // namespace cfack
