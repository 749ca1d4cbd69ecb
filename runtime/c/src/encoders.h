// The encoders as functions of arrays, in batches.
#pragma once

#include <cstdint>

#include "bundle.h"
#include "length_buckets.h"

namespace cfack {

constexpr size_t kTextBatch = 64;

// Turn texts into workspace.ids. Throws Error(CFACK_ERROR_DATA) that begins with "WHAT INDEX: ".
void tokenize(const Bundle& bundle, const char* const* texts, size_t count, const char* what, Workspace* workspace);

// Fill workspace.order with the rows [first, first + count) of workspace.ids, the shortest first, equal ones as they
// came.
void sort_by_length(size_t first, size_t count, Workspace* workspace);

// Where a batch of texts that begins at `start` of workspace.order ends.
size_t batch_end(const Workspace& workspace, size_t start);

// Run the text encoder on rows workspace.ids[order[0..count)]; the batch is as long as its longest.
void run_text_encoder(const Bundle& bundle, Workspace* workspace, const size_t* order, size_t count,
                      RunResult* result);

// Run the image encoder on `count` images of H x W x 3 bytes, at most `bundle.images_per_call()`.
void run_image_encoder(const Bundle& bundle, const uint8_t* pixels, size_t count, RunResult* result);

// What graphs take and give. The last two throw Error(CFACK_ERROR_BACKEND).
TensorView tensor(const char* name, DType dtype, std::initializer_list<size_t> shape, const void* data);
void require_rows(const TensorView& view, size_t rows, size_t values, const char* graph);
void require_finite(const float* values, size_t rows, size_t width, const char* graph);

}  // namespace cfack
