// Whether this processor multiplies in 8 bits exactly.
#pragma once

#include "backend.h"

namespace cfack {

// ONNX Runtime adds products of unsigned and signed bytes up in pairs. Without VNNI instructions a pair is kept in 16
// bits and cut off at 32767, and nothing says so: `int8-cpu` graphs would rank otherwise than where they were measured.
// Throws Error(CFACK_ERROR_BACKEND).
void require_exact_products(const BackendLibrary& library);

}  // namespace cfack
