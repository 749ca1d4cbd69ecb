#include "match_candidates.h"

#include <algorithm>
#include <limits>

#include "encoders.h"
#include "rerank.h"

namespace cfack {
namespace {

class Matching {
 public:
  Matching(const Bundle& bundle, const Gallery& gallery, Workspace* workspace)
      : bundle_(bundle), gallery_(gallery), work_(*workspace) {}

  void run() {
    work_.logits.resize(2 * work_.places.size());
    line_up();
    const size_t shared = plan_pairs(&work_.pairs, texts_that_pay());
    for (size_t start = 0, end = 0; start < shared; start = end) {
      while (end < shared && work_.pairs[end].place == work_.pairs[start].place) ++end;
      match_image(start, end);
    }
    for (size_t start = shared, end = shared; start < work_.pairs.size(); start = end) {
      const size_t most = std::min(work_.pairs.size(), start + bundle_.pairs_per_call());
      while (end < most && work_.pairs[end].query == work_.pairs[start].query) ++end;
      match_query(start, end);
    }
  }

 private:
  void line_up() {
    work_.pairs.clear();
    for (size_t query = 0; query < work_.queries.size(); ++query) {
      const BlockQuery& one = work_.queries[query];
      for (size_t i = one.first; i < one.first + one.reranked; ++i) work_.pairs.push_back({work_.places[i], query, i});
    }
  }

  // Infinite where no image can be shared, so that the graph for that is not loaded.
  double texts_that_pay() const {
    size_t tokens = 0;
    for (const KeptText& text : work_.texts) tokens += text.length;
    const double queries = static_cast<double>(work_.texts.size());
    const double pay = bundle_.texts_that_pay(static_cast<double>(tokens) / queries);
    return queries >= pay && bundle_.has_one_image() ? pay : std::numeric_limits<double>::infinity();
  }

  // Pairs [start, end) of one image, texts of similar length together.
  void match_image(size_t start, size_t end) {
    const Backend& graph = bundle_.one_image();
    gallery_.read_tokens(work_.pairs[start].place, image_tokens_type(graph), image_tokens(bundle_, graph, 0, &work_));
    const auto length = [this, start](size_t i) { return work_.texts[work_.pairs[start + i].query].length; };
    std::sort(work_.pairs.begin() + static_cast<std::ptrdiff_t>(start),
              work_.pairs.begin() + static_cast<std::ptrdiff_t>(end), [this](const Pair& a, const Pair& b) {
                const size_t left = work_.texts[a.query].length, right = work_.texts[b.query].length;
                return left != right ? left < right : a.query < b.query;
              });
    for (size_t from = 0, to = 0; from < end - start; from = to) {
      to = bucket_end(from, end - start, kTextBatch, length);
      work_.group.clear();
      for (size_t i = from; i < to; ++i) work_.group.push_back(work_.pairs[start + i].query);
      work_.group_logits.resize(2 * (to - from));
      match_one_image(bundle_, graph, work_.group.data(), to - from, &work_, work_.group_logits.data());
      give_out(start + from, start + to);
    }
  }

  // Pairs [start, end) of one query.
  void match_query(size_t start, size_t end) {
    const Backend& graph = bundle_.reranker();
    for (size_t i = start; i < end; ++i) {
      gallery_.read_tokens(work_.pairs[i].place, image_tokens_type(graph),
                           image_tokens(bundle_, graph, i - start, &work_));
    }
    work_.group_logits.resize(2 * (end - start));
    match_one_text(bundle_, work_.pairs[start].query, end - start, &work_, work_.group_logits.data());
    give_out(start, end);
  }

  void give_out(size_t start, size_t end) {
    for (size_t i = start; i < end; ++i) {
      const float* from = work_.group_logits.data() + 2 * (i - start);
      std::copy(from, from + 2, work_.logits.data() + 2 * work_.pairs[i].slot);
    }
  }

  const Bundle& bundle_;
  const Gallery& gallery_;
  Workspace& work_;
};

}  // namespace

void match_candidates(const Bundle& bundle, const Gallery& gallery, Workspace* workspace) {
  Matching(bundle, gallery, workspace).run();
}

}  // namespace cfack
