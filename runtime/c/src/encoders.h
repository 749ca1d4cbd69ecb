// The graphs as functions of arrays, in batches. B images or texts, N patches, T text tokens, C token width.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "bundle.h"

namespace cfack {

constexpr size_t kImageBatch = 8;
constexpr size_t kTextBatch = 64;

// Pairs per call of the re-ranker: as many as keep its image tokens near 16 MB in float32.
size_t pair_batch(const Geometry& geometry);

// Fill workspace.order with the rows of workspace.ids, the shortest first, equal ones as they came.
void sort_by_length(size_t count, Workspace* workspace);

// Where a batch of texts that begins at `start` of workspace.order ends: texts of similar length share one.
size_t batch_end(const Workspace& workspace, size_t count, size_t start);

// Turn texts into workspace.ids. Throws Error(CFACK_ERROR_DATA) that begins with "WHAT INDEX: ".
void tokenize(const Bundle& bundle, const char* const* texts, size_t count, const char* what, Workspace* workspace);

// Run the text encoder on rows workspace.ids[order[0..count)]; the batch is as long as its longest.
void run_text_encoder(const Bundle& bundle, Workspace* workspace, const size_t* order, size_t count,
                      RunResult* result);

// Run the image encoder on `count` images of H x W x 3 bytes.
void run_image_encoder(const Bundle& bundle, const uint8_t* pixels, size_t count, RunResult* result);

// The tokens of one text in their real length, as the re-ranker takes them.
struct TextTokens {
  const void* tokens = nullptr;  // (1, length, C) in the re-ranker's type
  size_t length = 0;
};

// Row `row` of the text encoder's output, `length` tokens long; converts into workspace.text_tokens if need be.
TextTokens text_tokens(const Bundle& bundle, Workspace* workspace, const RunResult& encoded, size_t row,
                       size_t length);

// Match one text with `count` images whose tokens lie in workspace.image_tokens in the re-ranker's type.
// Writes (count, 2) logits.
void run_reranker(const Bundle& bundle, Workspace* workspace, const TextTokens& text, size_t count, float* logits);

// Throws Error(CFACK_ERROR_BACKEND) if a number is not finite.
void require_finite(const float* values, size_t rows, size_t width, const char* graph);

// Convert tokens between the two types that they may have.
void convert_tokens(const void* from, DType from_type, void* to, DType to_type, size_t count);

}  // namespace cfack
