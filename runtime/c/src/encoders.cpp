#include "encoders.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>

#include "error.h"
#include "graph_contract.h"
#include "half.h"

namespace cfack {
namespace {

constexpr size_t kPairValues = 4 << 20;
// A batch of texts ends where padding would exceed an eighth of its tokens, and 64 of them: fewer cost less than
// another pass over the weights.
constexpr size_t kPaddingShare = 8, kPaddingFree = 64;
constexpr size_t kMostPairs = 256;

TensorView input(const char* name, DType dtype, std::initializer_list<size_t> shape, const void* data) {
  TensorView view;
  view.name = name;
  view.dtype = dtype;
  for (const size_t axis : shape) view.shape[view.rank++] = static_cast<int64_t>(axis);
  view.data = data;
  return view;
}

void require_rows(const TensorView& view, size_t rows, size_t values, const char* graph) {
  size_t count = 1;
  for (size_t i = 0; i < view.rank; ++i) count *= static_cast<size_t>(view.shape[i]);
  if (view.rank != 0 && static_cast<size_t>(view.shape[0]) == rows && count == rows * values) return;
  throw Error(CFACK_ERROR_BACKEND, std::string(graph) + ": output " + view.name +
                                       " has another shape than the manifest says; export again");
}

}  // namespace

size_t pair_batch(const Geometry& geometry) {
  const size_t values = static_cast<size_t>(geometry.image_token_count) * geometry.image_token_width;
  return std::max<size_t>(1, std::min(kMostPairs, kPairValues / values));
}

void sort_by_length(size_t count, Workspace* workspace) {
  std::vector<size_t>& order = workspace->order;
  order.resize(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [workspace](size_t a, size_t b) {
    const size_t left = workspace->ids[a].size(), right = workspace->ids[b].size();
    return left != right ? left < right : a < b;
  });
}

size_t batch_end(const Workspace& workspace, size_t count, size_t start) {
  size_t tokens = 0;
  for (size_t end = start; end < count; ++end) {
    const size_t length = workspace.ids[workspace.order[end]].size(), rows = end - start;
    const size_t padding = rows * length - tokens;
    if (rows == kTextBatch || padding > std::max(kPaddingFree, tokens / kPaddingShare)) return end;
    tokens += length;
  }
  return count;
}

void tokenize(const Bundle& bundle, const char* const* texts, size_t count, const char* what, Workspace* workspace) {
  if (workspace->ids.size() < count) workspace->ids.resize(count);
  for (size_t i = 0; i < count; ++i) {
    if (texts[i] == nullptr) {
      throw Error(CFACK_ERROR_INVALID, std::string(what) + " " + std::to_string(i) + " is NULL");
    }
    try {
      bundle.tokenizer().encode(texts[i], workspace->ids[i]);
    } catch (const Error& error) {
      throw Error(error.code(), std::string(what) + " " + std::to_string(i) + ": " + error.what());
    }
  }
}

void run_text_encoder(const Bundle& bundle, Workspace* workspace, const size_t* order, size_t count,
                      RunResult* result) {
  size_t longest = 0;
  for (size_t i = 0; i < count; ++i) longest = std::max(longest, workspace->ids[order[i]].size());
  workspace->input_ids.assign(count * longest, bundle.tokenizer().pad_id());
  workspace->mask.assign(count * longest, 0);
  for (size_t i = 0; i < count; ++i) {
    const std::vector<int64_t>& ids = workspace->ids[order[i]];
    std::copy(ids.begin(), ids.end(), workspace->input_ids.begin() + static_cast<std::ptrdiff_t>(i * longest));
    std::fill_n(workspace->mask.begin() + static_cast<std::ptrdiff_t>(i * longest), ids.size(), 1);
  }
  const TensorView inputs[] = {input("input_ids", DType::kInt64, {count, longest}, workspace->input_ids.data()),
                               input("attention_mask", DType::kInt64, {count, longest}, workspace->mask.data())};
  bundle.text_encoder().run(inputs, 2, result);
  const Geometry& g = bundle.geometry();
  require_rows(result->get("text_embedding"), count, g.embed_dim, kTextEncoder);
  require_rows(result->get("text_tokens"), count, longest * g.text_token_width, kTextEncoder);
  require_finite(static_cast<const float*>(result->get("text_embedding").data), count, g.embed_dim, kTextEncoder);
}

void run_image_encoder(const Bundle& bundle, const uint8_t* pixels, size_t count, RunResult* result) {
  const Geometry& g = bundle.geometry();
  const TensorView view = input("pixels", DType::kUint8, {count, g.image_height, g.image_width, 3}, pixels);
  bundle.image_encoder().run(&view, 1, result);
  require_rows(result->get("image_embedding"), count, g.embed_dim, kImageEncoder);
  require_rows(result->get("image_tokens"), count, static_cast<size_t>(g.image_token_count) * g.image_token_width,
               kImageEncoder);
  require_finite(static_cast<const float*>(result->get("image_embedding").data), count, g.embed_dim, kImageEncoder);
}

TextTokens text_tokens(const Bundle& bundle, Workspace* workspace, const RunResult& encoded, size_t row,
                       size_t length) {
  const TensorView& view = encoded.get("text_tokens");
  const size_t width = bundle.geometry().text_token_width, batch_length = static_cast<size_t>(view.shape[1]);
  const auto* start =
      static_cast<const uint8_t*>(view.data) + row * batch_length * width * dtype_size(view.dtype);
  const DType wanted = bundle.reranker().input_dtype("text_tokens");
  if (wanted == view.dtype) return {start, length};
  workspace->text_tokens.resize(length * width * dtype_size(wanted));
  convert_tokens(start, view.dtype, workspace->text_tokens.data(), wanted, length * width);
  return {workspace->text_tokens.data(), length};
}

void run_reranker(const Bundle& bundle, Workspace* workspace, const TextTokens& text, size_t count, float* logits) {
  const Geometry& g = bundle.geometry();
  const Backend& reranker = bundle.reranker();
  workspace->mask.assign(text.length, 1);
  const TensorView inputs[] = {
      input("text_tokens", reranker.input_dtype("text_tokens"), {1, text.length, g.text_token_width}, text.tokens),
      input("attention_mask", DType::kInt64, {1, text.length}, workspace->mask.data()),
      input("image_tokens", reranker.input_dtype("image_tokens"), {count, g.image_token_count, g.image_token_width},
            workspace->image_tokens.data())};
  RunResult result;
  reranker.run(inputs, 3, &result);
  const TensorView& output = result.get("match_logits");
  require_rows(output, count, 2, kReranker);
  const auto* values = static_cast<const float*>(output.data);
  require_finite(values, count, 2, kReranker);
  std::copy(values, values + 2 * count, logits);
}

void require_finite(const float* values, size_t rows, size_t width, const char* graph) {
  for (size_t i = 0; i < rows * width; ++i) {
    if (!std::isfinite(values[i])) {
      throw Error(CFACK_ERROR_BACKEND, std::string(graph) + ": output of row " + std::to_string(i / width) +
                                           " is not finite; the graph is broken, export again");
    }
  }
}

void convert_tokens(const void* from, DType from_type, void* to, DType to_type, size_t count) {
  if (from_type == to_type) {
    std::memcpy(to, from, count * dtype_size(to_type));
  } else if (to_type == DType::kFloat32) {
    half_to_float(static_cast<const uint16_t*>(from), static_cast<float*>(to), count);
  } else {
    float_to_half(static_cast<const float*>(from), static_cast<uint16_t*>(to), count);
  }
}

}  // namespace cfack
