// tokenizer_stdio caption MAX_WORDS              texts to normalized captions
// tokenizer_stdio ids TOKENIZER MAX_TOKENS       captions to ids (64 bits each)
// tokenizer_stdio raw-ids TOKENIZER MAX_TOKENS   the same without the caption rules
// tokenizer_stdio json                           texts of tokenizer.json to vocabulary sizes
// tokenizer_stdio time TOKENIZER MAX_TOKENS N    milliseconds for N times all captions, one at a time
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "caption.h"
#include "text_image/frames.h"
#include "tokenizer.h"

namespace {

std::string file_text(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string_view bytes_of(const std::vector<int64_t>& ids) {
  return {reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int64_t)};
}

int time_captions(const cfack::Tokenizer& tokenizer, int times) {
  std::vector<std::string> captions;
  for (std::string caption; frames::read(caption);) captions.push_back(caption);
  std::vector<int64_t> ids;
  cfack::TokenizerMemory memory;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < times; ++i) {
    for (const std::string& caption : captions) tokenizer.encode(caption, ids, memory);
  }
  const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - begin;
  std::printf("%f\n", taken.count());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "caption" && argc == 3) {
    const int words = std::atoi(argv[2]);
    return frames::serve([&](std::string_view text) { return cfack::normalize_caption(text, words); });
  }
  if (mode == "json" && argc == 2) {
    return frames::serve([](std::string_view text) {
      return std::to_string(cfack::Tokenizer::from_json(text, 16, "tokenizer.json").vocab_size());
    });
  }
  if (argc < 4) return 2;
  const auto tokenizer = cfack::Tokenizer::from_json(file_text(argv[2]), std::atoi(argv[3]), argv[2]);
  if (mode == "time" && argc == 5) return time_captions(tokenizer, std::atoi(argv[4]));
  std::vector<int64_t> ids;
  cfack::TokenizerMemory memory;
  return frames::serve([&](std::string_view text) {
    tokenizer.encode(text, ids, memory, mode == "ids");
    return bytes_of(ids);
  });
}
