#include "rerank.h"

#include <algorithm>
#include <cstring>

#include "encoders.h"
#include "graph_contract.h"
#include "tokens.h"

namespace cfack {
namespace {

// Bring texts to (count, longest, C) in the graph's type, with zeros on padding, and make their mask.
const void* padded_texts(const Bundle& bundle, const Backend& graph, const size_t* texts, size_t count, size_t longest,
                         Workspace* workspace) {
  const size_t width = bundle.geometry().text_token_width;
  const DType from = workspace->text_type, to = graph.input_dtype("text_tokens");
  workspace->mask.assign(count * longest, 0);
  for (size_t i = 0; i < count; ++i) {
    const KeptText& text = workspace->texts[texts[i]];
    std::fill_n(workspace->mask.begin() + static_cast<std::ptrdiff_t>(i * longest), text.length, 1);
  }
  const uint8_t* kept = workspace->text_tokens.data();
  if (count == 1 && from == to) return kept + workspace->texts[texts[0]].start;
  workspace->text_batch.assign(count * longest * width * dtype_size(to), 0);
  for (size_t i = 0; i < count; ++i) {
    const KeptText& text = workspace->texts[texts[i]];
    convert_tokens(kept + text.start, from, workspace->text_batch.data() + i * longest * width * dtype_size(to), to,
                   text.length * width);
  }
  return workspace->text_batch.data();
}

void run(const Bundle& bundle, const Backend& graph, const size_t* texts, size_t text_count, size_t image_count,
         Workspace* workspace, float* logits) {
  const Geometry& g = bundle.geometry();
  size_t longest = 0;
  for (size_t i = 0; i < text_count; ++i) longest = std::max(longest, workspace->texts[texts[i]].length);
  const void* tokens = padded_texts(bundle, graph, texts, text_count, longest, workspace);
  const TensorView inputs[] = {
      tensor("text_tokens", graph.input_dtype("text_tokens"), {text_count, longest, g.text_token_width}, tokens),
      tensor("attention_mask", DType::kInt64, {text_count, longest}, workspace->mask.data()),
      tensor("image_tokens", image_tokens_type(graph), {image_count, g.image_token_count, g.image_token_width},
             workspace->image_tokens.data())};
  RunResult result;
  graph.run(inputs, 3, &result);
  const size_t pairs = std::max(text_count, image_count);
  const TensorView& output = result.get("match_logits");
  require_rows(output, pairs, 2, kReranker);
  const auto* values = static_cast<const float*>(output.data);
  require_finite(values, pairs, 2, kReranker);
  std::copy(values, values + 2 * pairs, logits);
}

}  // namespace

void forget_texts(Workspace* workspace, size_t count) {
  workspace->texts.assign(count, KeptText{});
  workspace->text_tokens.clear();
}

void keep_text(const Bundle& bundle, const RunResult& encoded, size_t row, size_t length, size_t text,
               Workspace* workspace) {
  const TensorView& view = encoded.get("text_tokens");
  const size_t token = bundle.geometry().text_token_width * dtype_size(view.dtype);
  const auto* from = static_cast<const uint8_t*>(view.data) + row * static_cast<size_t>(view.shape[1]) * token;
  workspace->text_type = view.dtype;
  workspace->texts[text] = {workspace->text_tokens.size(), length};
  workspace->text_tokens.insert(workspace->text_tokens.end(), from, from + length * token);
}

DType image_tokens_type(const Backend& graph) { return graph.input_dtype("image_tokens"); }

uint8_t* image_tokens(const Bundle& bundle, const Backend& graph, size_t index, Workspace* workspace) {
  const size_t bytes = bundle.geometry().image_values() * dtype_size(image_tokens_type(graph));
  if (workspace->image_tokens.size() < (index + 1) * bytes) workspace->image_tokens.resize((index + 1) * bytes);
  return workspace->image_tokens.data() + index * bytes;
}

void match_one_text(const Bundle& bundle, size_t text, size_t count, Workspace* workspace, float* logits) {
  run(bundle, bundle.reranker(), &text, 1, count, workspace, logits);
}

void match_one_image(const Bundle& bundle, const Backend& graph, const size_t* texts, size_t count,
                     Workspace* workspace, float* logits) {
  run(bundle, graph, texts, count, 1, workspace, logits);
}

}  // namespace cfack
