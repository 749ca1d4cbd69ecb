#include "search.h"

#include <algorithm>
#include <limits>

#include "encoders.h"
#include "error.h"
#include "filters.h"
#include "json.h"
#include "match_candidates.h"
#include "rerank.h"

namespace cfack {
namespace {

constexpr size_t kEmptyQuery = 2;  // [CLS] and [SEP]
constexpr size_t kQueryBlock = 1024;  // their tokens take 126 MB at most

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
    if (request.where != nullptr) selected_ = select_images(gallery, request.where);
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
    for (size_t start = 0; start < request_.count; start += kQueryBlock) {
      search_block(start, std::min(kQueryBlock, request_.count - start), answers.data() + start);
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

  // Queries searched together: the more, the more of them share an image.
  void search_block(size_t start, size_t count, Answer* answers) {
    find_candidates(start, count);
    if (depth_ > 0) match_candidates(bundle_, gallery_, &*work_);
    for (size_t i = 0; i < count; ++i) {
      answers[i].truncated = work_->ids[start + i].size() == bundle_.geometry().max_tokens;
      collect(work_->queries[i], &answers[i].hits);
    }
  }

  // What the dual encoder finds.
  void find_candidates(size_t start, size_t count) {
    const size_t dim = bundle_.geometry().embed_dim;
    const size_t images = request_.where == nullptr ? gallery_.size() : selected_.size();
    const uint64_t* selected = request_.where == nullptr ? nullptr : selected_.data();
    const auto wanted = static_cast<size_t>(std::min<uint64_t>(std::max<uint64_t>(request_.k, depth_), images));
    const auto reranked = static_cast<size_t>(std::min<uint64_t>(depth_, wanted));
    work_->queries.resize(count);
    work_->places.resize(count * wanted);
    work_->cosines.resize(count * wanted);
    forget_texts(&*work_, count);
    sort_by_length(start, count, &*work_);
    RunResult encoded;
    for (size_t from = 0, to = 0; from < count; from = to) {
      to = batch_end(*work_, from);
      run_text_encoder(bundle_, &*work_, work_->order.data() + from, to - from, &encoded);
      const auto* embeddings = static_cast<const float*>(encoded.get("text_embedding").data);
      for (size_t row = 0; row < to - from; ++row) {
        const size_t query = work_->order[from + row] - start;
        TopK& best = work_->best;
        best.find(embeddings + row * dim, gallery_.embeddings(), selected, images, wanted);
        work_->queries[query] = {query * wanted, wanted, reranked};
        std::copy(best.places().begin(), best.places().end(), work_->places.data() + query * wanted);
        std::copy(best.scores().begin(), best.scores().end(), work_->cosines.data() + query * wanted);
        if (reranked > 0) keep_text(bundle_, encoded, row, work_->ids[start + query].size(), query, &*work_);
      }
    }
  }

  // Candidates by their score, what lies behind them in its order.
  void collect(const BlockQuery& query, std::vector<Hit>* hits) {
    const uint64_t* places = work_->places.data() + query.first;
    const float* cosines = work_->cosines.data() + query.first;
    const float* logits = work_->logits.data() + 2 * query.first;
    std::vector<uint32_t>& ranking = work_->ranking;
    ranking.resize(query.count);
    for (uint32_t i = 0; i < ranking.size(); ++i) ranking[i] = i;
    std::vector<double>& ranked_by = work_->ranked_by;
    ranked_by.resize(query.reranked);
    for (size_t i = 0; i < query.reranked; ++i) ranked_by[i] = scoring_.ranked_by(logits + 2 * i, cosines[i]);
    std::sort(ranking.begin(), ranking.begin() + static_cast<std::ptrdiff_t>(query.reranked),
              [&ranked_by](uint32_t a, uint32_t b) {
                return ranked_by[a] != ranked_by[b] ? ranked_by[a] > ranked_by[b] : a < b;
              });
    hits->reserve(static_cast<size_t>(std::min<uint64_t>(request_.k, ranking.size())));
    for (const uint32_t i : ranking) {
      if (hits->size() == request_.k) break;
      Hit hit;
      hit.place = places[i];
      hit.score = cosines[i];
      hit.reranked = i < query.reranked;
      hit.match_logit = std::numeric_limits<float>::quiet_NaN();
      hit.match_score = std::numeric_limits<double>::quiet_NaN();
      if (hit.reranked) {
        hit.match_logit = logits[2 * i + 1];
        hit.match_score = scoring_.match_score(logits + 2 * i, hit.score);
      }
      if (request_.use_min_score) {
        // A cosine and a match score have no common scale.
        if (query.reranked != 0 && !hit.reranked) continue;
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
  uint64_t depth_ = 0;
};

}  // namespace

std::vector<Answer> search_gallery(const Bundle& bundle, const Gallery& gallery, const SearchRequest& request) {
  return Search(bundle, gallery, request).run();
}

}  // namespace cfack
