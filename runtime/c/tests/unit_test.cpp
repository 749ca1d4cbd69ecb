// Parts that have an answer of their own: hashes, half floats, JSON, paths, rankings.

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "error.h"
#include "files.h"
#include "gallery_index.h"
#include "half.h"
#include "json.h"
#include "ranking.h"
#include "sha256.h"

namespace {

int failures = 0;

void expect(bool condition, const char* what) {
  if (condition) return;
  ++failures;
  std::fprintf(stderr, "failed: %s\n", what);
}

bool refuses(const std::string& json, const char* reason) {
  try {
    cfack::parse_object(json, "x", CFACK_ERROR_BUNDLE);
  } catch (const cfack::Error& error) {
    return std::strstr(error.what(), reason) != nullptr;
  }
  return false;
}

void test_sha256() {
  expect(cfack::sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "empty");
  expect(cfack::sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "abc");
  const std::string million(1000000, 'a');
  const std::string digest = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
  expect(cfack::sha256_hex(million) == digest, "a million a");
  cfack::Sha256 pieces;
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
    const bool finite = cfack::float_to_half(values, &one, 1);
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
  // Rows 1 and 3 are equal and win; the order of the gallery decides.
  const std::vector<float> gallery = {0, 1, 1, 0, -1, 0, 1, 0};
  const float query[2] = {1, 0};
  std::vector<float> rough, scores;
  std::vector<uint64_t> places;
  cfack::top_k(query, gallery.data(), 4, 2, 3, &rough, &places, &scores);
  expect(places == std::vector<uint64_t>({1, 3, 0}), "ties go by gallery order");
  expect(scores == std::vector<float>({1, 1, 0}), "scores");
  cfack::top_k(query, gallery.data(), 0, 2, 0, &rough, &places, &scores);
  expect(places.empty(), "an empty gallery");
}

}  // namespace

int main() {
  test_sha256();
  test_half();
  test_json();
  test_paths();
  test_ranking();
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
