// Find what an ONNX file must not hold: references to other files.
#pragma once

#include <cstdint>
#include <string>

namespace cfack {

// Refuse an ONNX file whose tensors lie in other files, or that is no ONNX file at all; weights are jumped over.
// Throws Error(CFACK_ERROR_BUNDLE); `source` begins the message.
void require_self_contained(const uint8_t* data, uint64_t size, const std::string& source);

}  // namespace cfack
