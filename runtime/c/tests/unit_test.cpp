// Parts that have an answer of their own: hashes, half floats, JSON, paths, rankings.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "contained.h"
#include "error.h"
#include "files.h"
#include "gallery_index.h"
#include "half.h"
#include "int8_products.h"
#include "json.h"
#include "number.h"
#include "ranking.h"
#include "rerank_plan.h"
#include "sha256.h"
#include "unicode.h"

namespace {

int failures = 0;

void expect(bool condition, const std::string& what) {
  if (condition) return;
  ++failures;
  std::fprintf(stderr, "failed: %s\n", what.c_str());
}

bool refuses(const std::string& json, const char* reason) {
  try {
    cfack::parse_object(json, "x", CFACK_ERROR_BUNDLE);
  } catch (const cfack::Error& error) {
    return std::strstr(error.what(), reason) != nullptr;
  }
  return false;
}

void test_sha256(cfack::Sha256::Code code) {
  const auto hex = [code](const std::string& data) {
    cfack::Sha256 hash(code);
    hash.update(data.data(), data.size());
    return hash.hex_digest();
  };
  expect(hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "empty");
  expect(hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "abc");
  const std::string million(1000000, 'a');
  const std::string digest = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
  expect(hex(million) == digest, "a million a");
  cfack::Sha256 pieces(code);
  for (size_t at = 0, step = 1; at < million.size(); at += step, step = step % 200 + 1) {
    pieces.update(million.data() + at, std::min(step, million.size() - at));
  }
  expect(pieces.hex_digest() == digest, "a million a in pieces");
}

void test_half() {
  std::vector<uint16_t> all(65536), back(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  std::vector<float> wide(65536), alone(65536);
  cfack::half_to_float(all.data(), wide.data(), all.size());
  for (size_t i = 0; i < all.size(); ++i) cfack::half_to_float(&all[i], &alone[i], 1);  // without vectors
  for (size_t i = 0; i < all.size(); ++i) {
    expect(std::isnan(wide[i]) ? std::isnan(alone[i]) : wide[i] == alone[i], "both ways to widen agree");
  }
  cfack::float_to_half(wide.data(), back.data(), wide.size());
  for (size_t i = 0; i < all.size(); ++i) {
    if (!std::isnan(wide[i])) expect(back[i] == all[i], "there and back");
  }
  uint32_t state = 1;
  for (int i = 0; i < 200000; ++i) {  // the vectors and the plain code round alike
    state = state * 1664525u + 1013904223u;
    float values[8];
    for (float& value : values) std::memcpy(&value, &state, 4);
    if (std::isnan(values[0])) continue;
    uint16_t eight[8], one = 0;
    cfack::float_to_half(values, eight, 8);
    cfack::float_to_half(values, &one, 1);
    const bool finite = cfack::all_finite(&one, 1);
    expect(eight[0] == one, "both ways to narrow agree");
    expect(finite == (std::fabs(values[0]) < 65520.0f), "overflow is told");
  }
}

void test_json() {
  expect(refuses("{\"a\": 1, \"a\": 2}", "occurs twice"), "repeated key");
  expect(refuses("{\"a\": NaN}", "not valid JSON"), "NaN");
  expect(refuses("{\"a\": 1e999}", "not valid JSON"), "1e999");
  expect(refuses("{\"a\": " + std::string(31, '9') + "}", "31 digits"), "a long number");
  expect(refuses("\xef\xbb\xbf{}", "byte order mark"), "byte order mark");
  expect(refuses("[]", "expected an object"), "a list");
  expect(refuses("{\"a\": \"\xff\"}", "not valid JSON"), "no UTF-8");
  expect(refuses("{} x", "not valid JSON"), "something behind");
  expect(refuses("{\"a\":" + std::string(600, '['), "nested too deeply"), "nested");
  const cfack::Json json = cfack::parse_object("{\"a\": 123456789012345678901}", "x", CFACK_ERROR_BUNDLE);
  expect(json.members[0].second.type == cfack::Json::Type::kLongInteger, "beyond 64 bits");
  expect(cfack::json_string("\xc3\xa9\"\n\xf0\x9f\x98\x80") == "\"\\u00e9\\\"\\n\\ud83d\\ude00\"", "escapes");
}

void test_paths() {
  for (const char* good : {"a", "a/b.c", "..a/b..", "a b"}) expect(cfack::is_contained(good), good);
  for (const char* bad : {"", "/a", "a/", "a//b", "./a", "a/..", ".."}) expect(!cfack::is_contained(bad), bad);
}

void test_ranking() {
  // Images 1 and 3 are equal and win; the order of the gallery decides. Row 0 of the second file was removed.
  const std::vector<float> first = {0, 1, 1, 0, -1, 0};
  const std::vector<uint16_t> second = {0x3c00, 0x3c00, 0x3c00, 0};  // 1, 1 and 1, 0 as halves
  cfack::Embeddings gallery(2);
  gallery.add_segment(first.data(), false);
  gallery.add_segment(second.data(), true);
  for (const cfack::RowPlace place : {cfack::RowPlace{0, 0}, {0, 1}, {0, 2}, {1, 1}}) gallery.add_image(place);
  const float query[2] = {1, 0};
  cfack::TopK best;
  best.find(query, gallery, nullptr, 4, 3);
  expect(best.places() == std::vector<uint64_t>({1, 3, 0}), "ties go by gallery order");
  expect(best.scores() == std::vector<float>({1, 1, 0}), "scores");
  const uint64_t some[] = {0, 2, 3};
  best.find(query, gallery, some, 3, SIZE_MAX);
  expect(best.places() == std::vector<uint64_t>({3, 0, 2}), "only some images, all of them");
  best.find(query, gallery, nullptr, 0, 1);
  expect(best.places().empty(), "an empty gallery");
}

// More images than are looked through together: the same as sorting all of them.
void test_ranking_of_many() {
  constexpr size_t kCount = 60000;
  std::vector<float> values(2 * kCount);
  std::vector<std::pair<double, uint64_t>> sorted;
  cfack::Embeddings gallery(2);
  gallery.add_segment(values.data(), false);
  uint32_t state = 1;
  for (uint32_t i = 0; i < kCount; ++i) {
    state = state * 1664525u + 1013904223u;
    values[2 * i] = static_cast<float>(state >> 20) / 4096.0f;  // many are equal
    values[2 * i + 1] = 0.25f;
    gallery.add_image({0, i});
    sorted.emplace_back(-static_cast<double>(values[2 * i] + 0.125f), i);
  }
  std::sort(sorted.begin(), sorted.end());
  const float query[2] = {1, 0.5f};
  cfack::TopK best;
  for (const size_t k : {size_t{1}, size_t{500}, size_t{40000}, kCount}) {
    best.find(query, gallery, nullptr, kCount, k);
    bool same = best.places().size() == k;
    for (size_t i = 0; same && i < k; ++i) same = best.places()[i] == sorted[i].second;
    expect(same, "the first " + std::to_string(k));
  }
  values[2 * 50000] = std::numeric_limits<float>::quiet_NaN();
  const auto find = [&] { best.find(query, gallery, nullptr, kCount, 3); };
  expect(cfack::guarded(find) == CFACK_ERROR_GALLERY, "an embedding that is no number");
  expect(std::string(cfack_last_error()).find("image 50000 ") != std::string::npos, "its place");
}

// Images 5 and 9 are shared by enough queries; the others go query by query.
void test_plan() {
  std::vector<cfack::Pair> pairs;
  const std::vector<std::vector<uint64_t>> candidates = {{9, 5, 7}, {5, 1, 9}, {9, 5, 0}};
  for (size_t query = 0; query < candidates.size(); ++query) {
    for (const uint64_t place : candidates[query]) pairs.push_back({place, query, pairs.size()});
  }
  expect(cfack::plan_pairs(&pairs, 3) == 6, "two images of three queries");
  std::string order;
  for (const cfack::Pair& pair : pairs) order += std::to_string(pair.place) + "/" + std::to_string(pair.query) + " ";
  expect(order == "5/0 5/1 5/2 9/0 9/1 9/2 7/0 1/1 0/2 ", "by image, then by query: " + order);
  expect(cfack::plan_pairs(&pairs, std::numeric_limits<double>::infinity()) == 0, "nothing is shared");
  expect(pairs[0].place == 5 && pairs[2].place == 9 && pairs[8].query == 2, "query by query, in gallery order");
  cfack::Geometry base;
  base.image_token_count = 577;
  base.image_token_width = base.text_token_width = 768;
  const double pay = cfack::texts_that_pay(base, true, 20);
  expect(pay > 1 && pay < 8 && cfack::texts_that_pay(base, false, 20) < pay, "a few texts pay at base size");
}

void test_numbers() {
  const auto order = [](const char* a, const char* b) {
    return cfack::compare(cfack::parse_number(a), cfack::parse_number(b));
  };
  expect(order("9007199254740993", "9007199254740992.0") == 1, "one beyond what a float can tell");
  expect(order("9007199254740992", "9007199254740992.0") == 0, "a whole number and its float");
  expect(order("-2", "-1.5") == -1 && order("-1", "-1.5") == 1 && order("2", "1.5") == 1, "whole against broken");
  expect(order("999999999999999999999999999999", "1e30") == -1, "thirty digits");
  expect(order("999999999999999999999999999999", "-1e300") == 1, "far below");
  expect(order("0", "-0.0") == 0 && order("1e-400", "0") == 0, "zero");
}

// Whatever is thrown inside an entry point, a status leaves it.
void test_exception_barrier() {
  const auto status = [](auto&& body) { return cfack::guarded(body); };
  expect(status([] { throw std::runtime_error("odd"); }) == CFACK_ERROR_INTERNAL, "an unexpected exception");
  expect(std::strcmp(cfack_last_error(), "odd") == 0 && cfack_last_error_code() == CFACK_ERROR_INTERNAL, "its words");
  expect(status([] { throw 7; }) == CFACK_ERROR_INTERNAL, "something that is no exception");
  expect(status([] { throw std::bad_alloc(); }) == CFACK_ERROR_MEMORY, "no memory");
  expect(status([] { std::vector<int>().reserve(SIZE_MAX); }) == CFACK_ERROR_MEMORY, "a length beyond all memory");
  expect(status([] { throw cfack::Error(CFACK_ERROR_IMAGE, std::string(5000, 'x')); }) == CFACK_ERROR_IMAGE, "ours");
  expect(std::strlen(cfack_last_error()) == 2047, "a long message is cut");
  const std::string named = std::string(5000, 'x') + ": no such file";
  expect(status([&named] { throw cfack::Error(CFACK_ERROR_IMAGE, named); }) == CFACK_ERROR_IMAGE, "ours again");
  const std::string kept = cfack_last_error();
  expect(kept.size() == 2047 && kept.find(" ... ") != kept.npos, "a long message is cut in the middle");
  expect(kept.substr(kept.size() - 14) == ": no such file", "and keeps its end");
  std::string wide;
  for (int i = 0; i < 3000; ++i) wide += "\xe4\xba\xba";
  expect(status([&wide] { throw cfack::Error(CFACK_ERROR_IMAGE, wide); }) == CFACK_ERROR_IMAGE, "in Chinese");
  expect(cfack::encode_utf8(cfack::decode_utf8(cfack_last_error())) == cfack_last_error(), "no character is cut");
}

// A processor whose sums of 64 products are right but for one.
class Processor : public cfack::BackendLibrary, public cfack::Backend {
 public:
  explicit Processor(float sum) : sums_(1024, 255.F * 127 * 64) { sums_[700] = sum; }
  const std::string& version() const override { return name_; }
  std::unique_ptr<cfack::Backend> load(const uint8_t*, uint64_t, const std::string&,
                                       const cfack::EngineEntry*) const override {
    return std::make_unique<Processor>(sums_[700]);
  }
  const std::vector<cfack::TensorSpec>& inputs() const override { return none_; }
  const std::vector<cfack::TensorSpec>& outputs() const override { return none_; }
  void run(const cfack::TensorView*, size_t, cfack::RunResult* result) const override {
    cfack::TensorView view;
    view.name = "y";
    view.data = sums_.data();
    result->add(view, nullptr, nullptr, [](const void*, void*) {});
  }

 private:
  std::string name_;
  std::vector<float> sums_;
  std::vector<cfack::TensorSpec> none_;
};

void test_int8_products() {
  cfack::require_exact_products(Processor(2072640));
  const int code = cfack::guarded([] { cfack::require_exact_products(Processor(1048544)); });
  expect(code == CFACK_ERROR_BACKEND, "a processor that cuts sums off is refused");
  const std::string message = cfack_last_error();
  expect(message.find("got 1048544, expected 2072640") != message.npos, "with both sums");
}

}  // namespace

int main() {
  test_sha256(cfack::Sha256::Code::kFastest);
  test_sha256(cfack::Sha256::Code::kPortable);
  test_half();
  test_json();
  test_paths();
  test_ranking();
  test_ranking_of_many();
  test_plan();
  test_numbers();
  test_exception_barrier();
  test_int8_products();
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
