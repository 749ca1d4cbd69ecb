// Entry points: images, and how they match a text.

#include <algorithm>
#include <memory>

#include "encoders.h"
#include "error.h"
#include "files.h"
#include "handles.h"
#include "image.h"
#include "rerank.h"
#include "structs.h"
#include "tokens.h"

using cfack::Error;
using cfack::guarded;
using cfack::hold;
using cfack::require_given;
using cfack::require_range;

namespace {

constexpr uint64_t kLargestImageFile = uint64_t{1} << 31;

uint8_t* append(cfack_images* images) {
  images->pixels.resize((images->count + 1) * images->bytes());
  return images->pixels.data() + images->count * images->bytes();
}

void add_decoded(cfack_images* images, const void* data, size_t size, const std::string& name) {
  const cfack::Image image = cfack::decode_image(static_cast<const uint8_t*>(data), size, name);
  cfack::resize_rgb(image.pixels.data(), image.width, image.height, static_cast<size_t>(image.width) * 3,
                    static_cast<int>(images->width), static_cast<int>(images->height), append(images));
  ++images->count;
}

void require_same_size(const cfack::Bundle& bundle, const cfack_images* images) {
  const cfack::Geometry& g = bundle.geometry();
  if (g.image_height == images->height && g.image_width == images->width) return;
  throw Error(CFACK_ERROR_INVALID, "the images are " + std::to_string(images->width) + " x " +
                                       std::to_string(images->height) + ", but the bundle takes " +
                                       std::to_string(g.image_width) + " x " + std::to_string(g.image_height) +
                                       "; make the list with this bundle");
}

}  // namespace

int cfack_images_new(cfack_images** out, const cfack_bundle* bundle) {
  return guarded([&] {
    require_given(out, "out");
    *out = nullptr;
    const auto held = hold(bundle);
    auto images = std::make_unique<cfack_images>();
    images->height = held->geometry().image_height;
    images->width = held->geometry().image_width;
    *out = images.release();
  });
}

int cfack_images_add_file(cfack_images* images, const char* path) {
  return guarded([&] {
    require_given(images, "images");
    require_given(path, "path");
    const std::string data = cfack::read_file(path, kLargestImageFile, CFACK_ERROR_IMAGE);
    add_decoded(images, data.data(), data.size(), path);
  });
}

int cfack_images_add_encoded(cfack_images* images, const void* data, size_t data_size) {
  return guarded([&] {
    require_given(images, "images");
    require_given(data, "data");
    add_decoded(images, data, data_size, "<" + std::to_string(data_size) + " bytes>");
  });
}

int cfack_images_add_rgb(cfack_images* images, const void* pixels, uint32_t width, uint32_t height, size_t stride) {
  return guarded([&] {
    require_given(images, "images");
    require_given(pixels, "pixels");
    require_range("width", width, 1, cfack::kMaxSide);
    require_range("height", height, 1, cfack::kMaxSide);
    cfack::resize_rgb(static_cast<const uint8_t*>(pixels), static_cast<int>(width), static_cast<int>(height), stride,
                      static_cast<int>(images->width), static_cast<int>(images->height), append(images));
    ++images->count;
  });
}

size_t cfack_images_count(const cfack_images* images) { return images == nullptr ? 0 : images->count; }

int cfack_images_get_pixels(const uint8_t** out, const cfack_images* images, size_t index) {
  return guarded([&] {
    require_given(out, "out");
    *out = nullptr;
    require_given(images, "images");
    if (index >= images->count) {
      throw Error(CFACK_ERROR_INVALID,
                  "image " + std::to_string(index) + " of a list of " + std::to_string(images->count));
    }
    *out = images->pixels.data() + index * images->bytes();
  });
}

void cfack_images_clear(cfack_images* images) {
  if (images != nullptr) images->count = 0;
}

void cfack_images_free(cfack_images* images) { delete images; }

int cfack_encode_images(float* embeddings, const cfack_bundle* bundle, const cfack_images* images) {
  return guarded([&] {
    const auto held = hold(bundle);
    require_given(images, "images");
    require_same_size(*held, images);
    if (images->count == 0) return;
    require_given(embeddings, "embeddings");
    const size_t dim = held->geometry().embed_dim;
    cfack::RunResult encoded;
    const size_t batch = held->images_per_call();
    for (size_t start = 0; start < images->count; start += batch) {
      const size_t rows = std::min(batch, images->count - start);
      cfack::run_image_encoder(*held, images->pixels.data() + start * images->bytes(), rows, &encoded);
      std::copy_n(static_cast<const float*>(encoded.get("image_embedding").data), rows * dim,
                  embeddings + start * dim);
    }
  });
}

int cfack_match_images(float* logits, const cfack_bundle* bundle, const char* text, const cfack_images* images) {
  return guarded([&] {
    const auto held = hold(bundle);
    const cfack::Bundle& b = *held;
    require_given(text, "text");
    require_given(images, "images");
    require_same_size(b, images);
    if (images->count == 0) return;
    require_given(logits, "logits");
    const size_t values = b.geometry().image_values();
    cfack::Bundle::Lease work(b);
    cfack::tokenize(b, &text, 1, "caption", &*work);
    const size_t first = 0;
    cfack::RunResult encoded;
    cfack::run_text_encoder(b, &*work, &first, 1, &encoded);
    cfack::forget_texts(&*work, 1);
    cfack::keep_text(b, encoded, 0, work->ids[0].size(), 0, &*work);
    const cfack::DType type = cfack::image_tokens_type(b.reranker());
    const size_t batch = std::min(b.images_per_call(), b.pairs_per_call());
    for (size_t start = 0; start < images->count; start += batch) {
      const size_t rows = std::min(batch, images->count - start);
      cfack::run_image_encoder(b, images->pixels.data() + start * images->bytes(), rows, &encoded);
      const cfack::TensorView& view = encoded.get("image_tokens");
      cfack::image_tokens(b, b.reranker(), rows - 1, &*work);  // room for all
      cfack::convert_tokens(view.data, view.dtype, work->image_tokens.data(), type, rows * values);
      cfack::match_one_text(b, 0, rows, &*work, logits + 2 * start);
    }
  });
}

int cfack_match_score(double* out, const cfack_bundle* bundle, int score, const float* logits, float cosine) {
  return guarded([&] {
    require_given(out, "out");
    const auto held = hold(bundle);
    require_given(logits, "logits");
    *out = cfack::Scoring(score, held->score_calibration(), held->path()).match_score(logits, cosine);
  });
}
