// image_stdio decode                  files to width, height (32 bits each) and RGB pixels
// image_stdio load HEIGHT WIDTH       files to RGB pixels of that size
// image_stdio resize                  width, height, stride, new width, new height (32 bits each) and rows, to pixels
// image_stdio time HEIGHT WIDTH N     milliseconds for N times decoding, and for N times resizing, the one file
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "image.h"
#include "text_image/frames.h"

namespace {

const uint8_t* bytes_of(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

cfack::Image decoded(std::string_view file) { return cfack::decode_image(bytes_of(file), file.size(), "a file"); }

std::string resized(const uint8_t* pixels, int width, int height, size_t stride, int out_width, int out_height) {
  // No room beyond what is promised to be written, so that a sanitizer sees the first byte too many.
  const size_t size = 3 * static_cast<size_t>(out_width > 0 ? out_width : 0) * static_cast<size_t>(out_height > 0 ? out_height : 0);
  std::string out(size, '\0');
  cfack::resize_rgb(pixels, width, height, stride, out_width, out_height, reinterpret_cast<uint8_t*>(out.data()));
  return out;
}

template <typename Work>
double milliseconds(int times, Work&& work) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < times; ++i) work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "decode") {
    return frames::serve([](std::string_view file) {
      const cfack::Image image = decoded(file);
      std::string answer(8 + image.pixels.size(), '\0');
      std::memcpy(answer.data(), &image.width, 4);
      std::memcpy(answer.data() + 4, &image.height, 4);
      std::memcpy(answer.data() + 8, image.pixels.data(), image.pixels.size());
      return answer;
    });
  }
  if (mode == "resize") {
    return frames::serve([](std::string_view bytes) {
      int32_t sizes[5];
      std::memcpy(sizes, bytes.data(), sizeof sizes);
      const std::string rows(bytes.substr(sizeof sizes));  // its own memory, for the sanitizer
      return resized(bytes_of(rows), sizes[0], sizes[1], static_cast<size_t>(sizes[2]), sizes[3], sizes[4]);
    });
  }
  if (argc < 4) return 2;
  const int height = std::atoi(argv[2]), width = std::atoi(argv[3]);
  if (mode == "load") {
    return frames::serve([&](std::string_view file) {
      const cfack::Image image = decoded(file);
      return resized(image.pixels.data(), image.width, image.height, 3 * static_cast<size_t>(image.width), width, height);
    });
  }
  std::string file;
  if (mode != "time" || argc != 5 || !frames::read(file)) return 2;
  const int times = std::atoi(argv[4]);
  const cfack::Image image = decoded(file);
  const size_t stride = 3 * static_cast<size_t>(image.width);
  std::printf("%f %f\n", milliseconds(times, [&] { decoded(file); }), milliseconds(times, [&] {
                resized(image.pixels.data(), image.width, image.height, stride, width, height);
              }));
  return 0;
}
