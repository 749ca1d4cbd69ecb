// Entry points: search and its results.

#include <memory>

#include "error.h"
#include "handles.h"
#include "structs.h"

using cfack::Error;
using cfack::guarded;
using cfack::hold;
using cfack::require_given;
using cfack::require_range;

int cfack_search_options_init(cfack_search_options* options) {
  return guarded([&] {
    require_given(options, "options");
    *options = CFACK_SEARCH_OPTIONS_INIT;
  });
}

int cfack_search(cfack_results** out, const cfack_bundle* bundle, const cfack_gallery* gallery,
                 const char* const* queries, size_t count, const cfack_search_options* given) {
  return guarded([&] {
    require_given(out, "out");
    *out = nullptr;
    const auto held = hold(bundle);
    auto results = std::make_unique<cfack_results>();
    results->gallery = hold(gallery);
    if (count != 0) require_given(queries, "queries");
    const cfack_search_options defaults = CFACK_SEARCH_OPTIONS_INIT;
    const cfack_search_options options = cfack::read_options(given, defaults, "cfack_search_options");
    require_range("use_min_score", options.use_min_score, 0, 1);
    require_range("score", options.score, CFACK_SCORE_LOGIT, CFACK_SCORE_PROBABILITY);
    cfack::SearchRequest request;
    request.queries = queries;
    request.count = count;
    request.k = options.k;
    request.rerank = options.rerank;
    request.use_min_score = options.use_min_score != 0;
    request.min_score = options.min_score;
    request.score = options.score;
    request.where = options.where;
    results->answers = cfack::search_gallery(*held, *results->gallery, request);
    *out = results.release();
  });
}

size_t cfack_results_query_count(const cfack_results* results) {
  return results == nullptr ? 0 : results->answers.size();
}

size_t cfack_results_hit_count(const cfack_results* results, size_t query) {
  return query < cfack_results_query_count(results) ? results->answers[query].hits.size() : 0;
}

int cfack_results_is_truncated(const cfack_results* results, size_t query) {
  return query < cfack_results_query_count(results) && results->answers[query].truncated ? 1 : 0;
}

int cfack_results_get_hit(cfack_hit* out, const cfack_results* results, size_t query, size_t index) {
  return guarded([&] {
    require_given(out, "out");
    require_given(results, "results");
    if (index >= cfack_results_hit_count(results, query)) {
      throw Error(CFACK_ERROR_INVALID, "there is no image " + std::to_string(index) + " for query " +
                                           std::to_string(query));
    }
    const cfack::Hit& hit = results->answers[query].hits[index];
    const cfack::ImageRecord& image = results->gallery->image(hit.place);
    const cfack_hit found = {sizeof found,    image.path.c_str(), image.metadata.c_str(), hit.place,
                             hit.rank,        hit.match_score,    hit.score,              hit.match_logit,
                             hit.reranked ? 1 : 0, 0};
    cfack::write_struct(out, found, "cfack_hit");
  });
}

void cfack_results_free(cfack_results* results) { delete results; }
