#include "search.h"

#include <algorithm>
#include <limits>

#include "encoders.h"
#include "error.h"
#include "filters.h"
#include "json.h"
#include "ranking.h"

namespace cfack {
namespace {

constexpr size_t kEmptyQuery = 2;  // [CLS] and [SEP]

class Search {
 public:
  Search(const Bundle& bundle, const Gallery& gallery, const SearchRequest& request)
      : bundle_(bundle),
        gallery_(gallery),
        request_(request),
        scoring_(request.score, bundle.score_calibration(), bundle.path()),
        work_(bundle) {
    if (request.k < 1) throw Error(CFACK_ERROR_INVALID, "k must be at least 1, got 0");
    if (request.rerank < -1) {
      throw Error(CFACK_ERROR_INVALID,
                  "rerank must be 0 (no re-ranking) or more, got " + std::to_string(request.rerank));
    }
    require_same_space(gallery.path(), gallery.identity(), bundle.embedding_space(), bundle.path());
    const bool has_tokens = gallery.identity().token_count != 0;
    depth_ = static_cast<uint64_t>(request.rerank >= 0 ? request.rerank : has_tokens ? kDefaultRerank : 0);
    if (depth_ > 0 && !has_tokens) {
      throw Error(CFACK_ERROR_GALLERY, gallery.path() + ": holds no image tokens, so nothing can be re-ranked; search "
                                                        "with rerank 0, or index the images into another gallery with "
                                                        "tokens");
    }
    require_fitting_tokens(has_tokens);
    rows_ = {gallery.embeddings(), bundle.geometry().embed_dim, gallery.size(), nullptr};
    if (request.where == nullptr) return;
    selected_ = select_images(gallery, request.where);
    rows_.count = selected_.size();
    rows_.places = selected_.data();
  }

  std::vector<Answer> run() {
    tokenize(bundle_, request_.queries, request_.count, "query", &*work_);
    for (size_t i = 0; i < request_.count; ++i) {
      if (work_->ids[i].size() == kEmptyQuery) {
        throw Error(CFACK_ERROR_DATA, "query " + std::to_string(i) + ", " + in_quotes(request_.queries[i]) +
                                          ", holds no word; describe a person");
      }
    }
    std::vector<Answer> answers(request_.count);
    sort_by_length(request_.count, &*work_);
    for (size_t start = 0, end = 0; start < request_.count; start = end) {
      end = batch_end(*work_, request_.count, start);
      search_batch(work_->order.data() + start, end - start, answers.data());
    }
    return answers;
  }

 private:
  void require_fitting_tokens(bool has_tokens) const {
    const Geometry& g = bundle_.geometry();
    const Identity& id = gallery_.identity();
    if (id.embed_dim == g.embed_dim &&
        (!has_tokens || (id.token_count == g.image_token_count && id.token_width == g.image_token_width))) {
      return;
    }
    throw Error(CFACK_ERROR_GALLERY, gallery_.path() + ": its embeddings or tokens have other sizes than those of " +
                                         bundle_.path() + "; delete it and index the images again");
  }

  // Queries that share a batch of the text encoder.
  void search_batch(const size_t* queries, size_t count, Answer* answers) {
    RunResult encoded;
    run_text_encoder(bundle_, &*work_, queries, count, &encoded);
    const auto* embeddings = static_cast<const float*>(encoded.get("text_embedding").data);
    const size_t dim = bundle_.geometry().embed_dim;
    for (size_t row = 0; row < count; ++row) {
      const size_t query = queries[row], length = work_->ids[query].size();
      answers[query].truncated = length == bundle_.geometry().max_tokens;
      const uint64_t wanted = std::max<uint64_t>(request_.k, depth_);
      top_k(embeddings + row * dim, rows_, static_cast<size_t>(std::min<uint64_t>(wanted, rows_.count)),
            &work_->rough, &work_->places, &work_->scores);
      const size_t reranked = static_cast<size_t>(std::min<uint64_t>(depth_, work_->places.size()));
      match(encoded, row, length, reranked);
      collect(reranked, &answers[query].hits);
    }
  }

  // Logits of the query with its first candidates.
  void match(const RunResult& encoded, size_t row, size_t length, size_t count) {
    work_->logits.resize(2 * count);
    if (count == 0) return;
    const TextTokens text = text_tokens(bundle_, &*work_, encoded, row, length);
    const DType type = bundle_.reranker().input_dtype("image_tokens");
    const size_t bytes = static_cast<size_t>(gallery_.identity().token_values()) * dtype_size(type);
    const size_t batch = pair_batch(bundle_.geometry());
    for (size_t start = 0; start < count; start += batch) {
      const size_t pairs = std::min(batch, count - start);
      if (work_->image_tokens.size() < pairs * bytes) work_->image_tokens.resize(pairs * bytes);
      for (size_t i = 0; i < pairs; ++i) {
        gallery_.read_tokens(work_->places[start + i], type, work_->image_tokens.data() + i * bytes);
      }
      run_reranker(bundle_, &*work_, text, pairs, work_->logits.data() + 2 * start);
    }
  }

  // Candidates by their score, what lies behind them in its order.
  void collect(size_t reranked, std::vector<Hit>* hits) {
    std::vector<uint32_t>& ranking = work_->ranking;
    ranking.resize(work_->places.size());
    for (uint32_t i = 0; i < ranking.size(); ++i) ranking[i] = i;
    const std::vector<float>& logits = work_->logits;
    std::vector<double>& ranked_by = work_->ranked_by;
    ranked_by.resize(reranked);
    for (size_t i = 0; i < reranked; ++i) ranked_by[i] = scoring_.ranked_by(&logits[2 * i], work_->scores[i]);
    std::sort(ranking.begin(), ranking.begin() + static_cast<std::ptrdiff_t>(reranked),
              [&ranked_by](uint32_t a, uint32_t b) {
                return ranked_by[a] != ranked_by[b] ? ranked_by[a] > ranked_by[b] : a < b;
              });
    hits->reserve(static_cast<size_t>(std::min<uint64_t>(request_.k, ranking.size())));
    for (const uint32_t i : ranking) {
      if (hits->size() == request_.k) break;
      Hit hit;
      hit.place = work_->places[i];
      hit.score = work_->scores[i];
      hit.reranked = i < reranked;
      hit.match_logit = std::numeric_limits<float>::quiet_NaN();
      hit.match_score = std::numeric_limits<double>::quiet_NaN();
      if (hit.reranked) {
        hit.match_logit = logits[2 * i + 1];
        hit.match_score = scoring_.match_score(&logits[2 * i], hit.score);
      }
      if (request_.use_min_score) {
        // A cosine and a match score have no common scale.
        if (reranked != 0 && !hit.reranked) continue;
        if (!((hit.reranked ? hit.match_score : static_cast<double>(hit.score)) >= request_.min_score)) continue;
      }
      hit.rank = hits->size() + 1;
      hits->push_back(hit);
    }
  }

  const Bundle& bundle_;
  const Gallery& gallery_;
  const SearchRequest& request_;
  Scoring scoring_;
  Bundle::Lease work_;
  std::vector<uint64_t> selected_;  // if there is a filter
  Rows rows_;
  uint64_t depth_ = 0;
};

}  // namespace

std::vector<Answer> search_gallery(const Bundle& bundle, const Gallery& gallery, const SearchRequest& request) {
  return Search(bundle, gallery, request).run();
}

}  // namespace cfack
