// Memory that one call needs, kept for the next: a query costs no allocation but its result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend.h"
#include "ranking.h"
#include "rerank_plan.h"
#include "tokenizer.h"

namespace cfack {

// Where the tokens of a text lie in `Workspace::text_tokens`.
struct KeptText {
  size_t start = 0;   // in bytes
  size_t length = 0;  // in tokens
};

// A query of a block: its candidates among those of the block.
struct BlockQuery {
  size_t first;     // candidate
  size_t count;     // of candidates
  size_t reranked;  // of these
};

struct Workspace {
  // Texts and images on their way through the graphs.
  TokenizerMemory tokenizer;
  std::vector<std::vector<int64_t>> ids;  // word pieces of each text
  std::vector<size_t> order;
  std::vector<int64_t> input_ids, mask;
  DType text_type = DType::kFloat32;
  std::vector<uint8_t> text_tokens;  // of all texts that were kept, as the text encoder gave them
  std::vector<KeptText> texts;
  std::vector<uint8_t> text_batch, image_tokens;
  // A block of queries.
  TopK best;
  std::vector<BlockQuery> queries;
  std::vector<uint64_t> places;  // of all candidates, query by query
  std::vector<float> cosines;
  std::vector<Pair> pairs;
  std::vector<float> logits;  // of all candidates, also of those that are not re-ranked, two each
  // One query.
  std::vector<size_t> group;
  std::vector<float> group_logits;
  std::vector<double> ranked_by;
  std::vector<uint32_t> ranking;
};

}  // namespace cfack
