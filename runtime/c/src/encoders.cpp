#include "encoders.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "error.h"
#include "graph_contract.h"

namespace cfack {

TensorView tensor(const char* name, DType dtype, std::initializer_list<size_t> shape, const void* data) {
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

void sort_by_length(size_t first, size_t count, Workspace* workspace) {
  std::vector<size_t>& order = workspace->order;
  order.resize(count);
  std::iota(order.begin(), order.end(), first);
  std::sort(order.begin(), order.end(), [workspace](size_t a, size_t b) {
    const size_t left = workspace->ids[a].size(), right = workspace->ids[b].size();
    return left != right ? left < right : a < b;
  });
}

size_t batch_end(const Workspace& workspace, size_t start) {
  return bucket_end(start, workspace.order.size(), kTextBatch,
                    [&workspace](size_t i) { return workspace.ids[workspace.order[i]].size(); });
}

void tokenize(const Bundle& bundle, const char* const* texts, size_t count, const char* what, Workspace* workspace) {
  if (workspace->ids.size() < count) workspace->ids.resize(count);
  for (size_t i = 0; i < count; ++i) {
    if (texts[i] == nullptr) {
      throw Error(CFACK_ERROR_INVALID, std::string(what) + " " + std::to_string(i) + " is NULL");
    }
    try {
      bundle.tokenizer().encode(texts[i], workspace->ids[i], workspace->tokenizer);
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
  const TensorView inputs[] = {tensor("input_ids", DType::kInt64, {count, longest}, workspace->input_ids.data()),
                               tensor("attention_mask", DType::kInt64, {count, longest}, workspace->mask.data())};
  bundle.text_encoder().run(inputs, 2, result);
  const Geometry& g = bundle.geometry();
  require_rows(result->get("text_embedding"), count, g.embed_dim, kTextEncoder);
  require_rows(result->get("text_tokens"), count, longest * g.text_token_width, kTextEncoder);
  require_finite(static_cast<const float*>(result->get("text_embedding").data), count, g.embed_dim, kTextEncoder);
}

void run_image_encoder(const Bundle& bundle, const uint8_t* pixels, size_t count, RunResult* result) {
  const Geometry& g = bundle.geometry();
  const TensorView view = tensor("pixels", DType::kUint8, {count, g.image_height, g.image_width, 3}, pixels);
  bundle.image_encoder().run(&view, 1, result);
  require_rows(result->get("image_embedding"), count, g.embed_dim, kImageEncoder);
  require_rows(result->get("image_tokens"), count, g.image_values(), kImageEncoder);
  require_finite(static_cast<const float*>(result->get("image_embedding").data), count, g.embed_dim, kImageEncoder);
}

void require_finite(const float* values, size_t rows, size_t width, const char* graph) {
  for (size_t i = 0; i < rows * width; ++i) {
    if (!std::isfinite(values[i])) {
      throw Error(CFACK_ERROR_BACKEND, std::string(graph) + ": output of row " + std::to_string(i / width) +
                                           " is not finite; the graph is broken, export again");
    }
  }
}

}  // namespace cfack
