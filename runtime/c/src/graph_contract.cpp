#include "graph_contract.h"

#include <set>

#include "error.h"

namespace cfack {
namespace {

bool fits(const TensorSpec& got, const TensorSpec& expected) {
  const bool half = got.dtype == "float16" && (got.name == "image_tokens" || got.name == "text_tokens");
  return (half || got.dtype == expected.dtype) && got.shape == expected.shape;
}

std::string describe(const std::vector<TensorSpec>& specs) {
  std::string text;
  for (const TensorSpec& spec : specs) {
    text += (text.empty() ? "" : "; ") + spec.name.substr(0, 80) + " " + spec.dtype.substr(0, 80) + " [";
    for (size_t i = 0; i < spec.shape.size(); ++i) {
      text += (i == 0 ? "" : ", ") + (spec.shape[i] < 0 ? "?" : std::to_string(spec.shape[i]));
    }
    text += "]";
  }
  return text;
}

}  // namespace

Signature graph_signature(const std::string& graph, const Geometry& g) {
  const int64_t height = g.image_height, width = g.image_width, dim = g.embed_dim;
  const int64_t count = g.image_token_count, image_width = g.image_token_width, text_width = g.text_token_width;
  if (graph == kImageEncoder) {
    return {{{"pixels", "uint8", {-1, height, width, 3}}},
            {{"image_embedding", "float32", {-1, dim}}, {"image_tokens", "float32", {-1, count, image_width}}}};
  }
  if (graph == kTextEncoder) {
    return {{{"input_ids", "int64", {-1, -1}}, {"attention_mask", "int64", {-1, -1}}},
            {{"text_embedding", "float32", {-1, dim}}, {"text_tokens", "float32", {-1, -1, text_width}}}};
  }
  const int64_t texts = graph == kOneText ? 1 : -1, images = graph == kOneImage ? 1 : -1;
  return {{{"text_tokens", "float32", {texts, -1, text_width}},
           {"attention_mask", "int64", {texts, -1}},
           {"image_tokens", "float32", {images, count, image_width}}},
          {{"match_logits", "float32", {-1, 2}}}};
}

void check_tensors(const std::vector<TensorSpec>& got, const std::vector<TensorSpec>& expected,
                   const std::string& where) {
  std::set<std::string> seen;
  for (const TensorSpec& spec : got) {
    for (const TensorSpec& wanted : expected) {
      if (spec.name == wanted.name && fits(spec, wanted)) seen.insert(spec.name);
    }
  }
  if (got.size() == expected.size() && seen.size() == expected.size()) return;
  throw Error(CFACK_ERROR_BUNDLE,
              where + ": has (" + describe(got) + "), expected (" + describe(expected) + "); export again");
}

}  // namespace cfack
