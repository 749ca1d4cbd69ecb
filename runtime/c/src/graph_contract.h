// Names, types and shapes of the three graphs that every precision has, and of the two that it may have.
#pragma once

#include <string>
#include <vector>

#include "manifest.h"

namespace cfack {

inline constexpr const char* kImageEncoder = "image_encoder";
inline constexpr const char* kTextEncoder = "text_encoder";
inline constexpr const char* kReranker = "reranker";
inline constexpr const char* kOneText = "reranker_one_text";
inline constexpr const char* kOneImage = "reranker_one_image";
inline constexpr const char* kGraphs[] = {kImageEncoder, kTextEncoder, kReranker};
inline constexpr const char* kRewrites[] = {kOneText, kOneImage};

struct Signature {
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
};

// With float32 tokens.
Signature graph_signature(const std::string& graph, const Geometry& geometry);

// Check names, types and shapes, in any order; tokens may be float16. Throws Error(CFACK_ERROR_BUNDLE).
void check_tensors(const std::vector<TensorSpec>& got, const std::vector<TensorSpec>& expected,
                   const std::string& where);

}  // namespace cfack
