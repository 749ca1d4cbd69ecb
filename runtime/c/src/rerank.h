// The re-ranker as a function of arrays: one text with many images, or one image with many texts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bundle.h"

namespace cfack {

// Forget all texts and make room for others.
void forget_texts(Workspace* workspace, size_t count);

// Keep the tokens of row `row` of the text encoder's output, `length` tokens long, as text `text`.
void keep_text(const Bundle& bundle, const RunResult& encoded, size_t row, size_t length, size_t text,
               Workspace* workspace);

// Where the tokens (1+N, C) of the `index`-th image of a call go, and in which type.
DType image_tokens_type(const Backend& graph);
uint8_t* image_tokens(const Bundle& bundle, const Backend& graph, size_t index, Workspace* workspace);

// Match text `text` with the first `count` images of the workspace. Writes (count, 2) logits.
// Throws Error(CFACK_ERROR_BACKEND or CFACK_ERROR_MEMORY).
void match_one_text(const Bundle& bundle, size_t text, size_t count, Workspace* workspace, float* logits);

// Match the first image of the workspace with `count` texts, by `graph`, which is `bundle.one_image()`.
void match_one_image(const Bundle& bundle, const Backend& graph, const size_t* texts, size_t count,
                     Workspace* workspace, float* logits);

}  // namespace cfack
