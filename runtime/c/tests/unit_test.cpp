// Parts that have an answer of their own: hashes, half floats, JSON, paths, rankings.

#include <cmath>
#include <cstdio>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "error.h"
#include "files.h"
#include "gallery_index.h"
#include "half.h"
#include "json.h"
#include "number.h"
#include "ranking.h"
#include "sha256.h"
#include "unicode.h"

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
  cfack::top_k(query, {gallery.data(), 2, 4, nullptr}, 3, &rough, &places, &scores);
  expect(places == std::vector<uint64_t>({1, 3, 0}), "ties go by gallery order");
  expect(scores == std::vector<float>({1, 1, 0}), "scores");
  const uint64_t some[] = {0, 2, 3};
  cfack::top_k(query, {gallery.data(), 2, 3, some}, 2, &rough, &places, &scores);
  expect(places == std::vector<uint64_t>({3, 0}), "only some rows");
  cfack::top_k(query, {gallery.data(), 2, 0, nullptr}, 0, &rough, &places, &scores);
  expect(places.empty(), "an empty gallery");
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

}  // namespace

int main() {
  test_sha256();
  test_half();
  test_json();
  test_paths();
  test_ranking();
  test_numbers();
  test_exception_barrier();
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
