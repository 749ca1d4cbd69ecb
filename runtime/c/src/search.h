// Two-stage search: the dual encoder ranks the whole gallery, the re-ranker its first candidates.
#pragma once

#include <string_view>
#include <vector>

#include "bundle.h"
#include "cfack.h"
#include "gallery.h"
#include "scoring.h"

namespace cfack {

constexpr int64_t kDefaultRerank = 128;

struct Hit {
  uint64_t place = 0;
  uint64_t rank = 0;
  double match_score = 0;
  float score = 0;
  float match_logit = 0;
  bool reranked = false;
};

struct Answer {
  std::vector<Hit> hits;
  bool truncated = false;  // the query fills all word pieces that the model reads
};

struct SearchRequest {
  const char* const* queries = nullptr;
  size_t count = 0;
  uint64_t k = 10;
  int64_t rerank = -1;
  bool use_min_score = false;
  double min_score = 0;
  int score = CFACK_SCORE_LOGIT;
  const char* where = nullptr;  // a filter; nullptr: all images
};

std::vector<Answer> search_gallery(const Bundle& bundle, const Gallery& gallery, const SearchRequest& request);

}  // namespace cfack
