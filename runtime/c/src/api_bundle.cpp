// Entry points: version, bundle, texts.

#include <algorithm>
#include <memory>

#include "encoders.h"
#include "error.h"
#include "handles.h"
#include "structs.h"

using cfack::Error;
using cfack::guarded;
using cfack::hold;
using cfack::require_given;
using cfack::require_range;

const char* cfack_version(void) { return "0.1.0"; }

void cfack_version_numbers(int* major, int* minor, int* patch) {
  if (major != nullptr) *major = CFACK_VERSION_MAJOR;
  if (minor != nullptr) *minor = CFACK_VERSION_MINOR;
  if (patch != nullptr) *patch = CFACK_VERSION_PATCH;
}

int cfack_abi_version(void) { return CFACK_ABI_VERSION; }

int cfack_bundle_options_init(cfack_bundle_options* options) {
  return guarded([&] {
    require_given(options, "options");
    *options = CFACK_BUNDLE_OPTIONS_INIT;
  });
}

int cfack_bundle_open(cfack_bundle** out, const char* path, const cfack_bundle_options* given) {
  return guarded([&] {
    require_given(out, "out");
    *out = nullptr;
    require_given(path, "path");
    const cfack_bundle_options defaults = CFACK_BUNDLE_OPTIONS_INIT;
    const cfack_bundle_options options = cfack::read_options(given, defaults, "cfack_bundle_options");
    require_range("backend", options.backend, CFACK_BACKEND_CPU, CFACK_BACKEND_TENSORRT_RTX_ENGINES);
    require_range("device", options.device, 0, 999);
    require_range("threads", options.threads, 0, 4096);
    require_range("reserved", options.reserved, 0, 0);
    if (options.memory_limit != 0 && cfack::runs_engines(options.backend)) {
      throw Error(CFACK_ERROR_INVALID, "memory_limit is not for engines, whose memory is settled when they are built");
    }
    cfack::BackendOptions backend;
    backend.backend = options.backend;
    backend.device = options.device;
    backend.threads = options.threads;
    backend.memory_limit = options.memory_limit;
    const bool engines = cfack::runs_engines(options.backend);
    const char* library = engines ? options.engine_library : options.onnxruntime;
    backend.library = library == nullptr ? "" : library;
    auto handle = std::make_unique<cfack_bundle>();
    handle->bundle =
        cfack::Bundle::open(path, options.precision == nullptr ? "auto" : options.precision, backend);
    *out = handle.release();
  });
}

int cfack_has_engines(int backend) { return cfack::has_engines(backend) ? 1 : 0; }

int cfack_bundle_get_info(cfack_bundle_info* out, const cfack_bundle* bundle) {
  return guarded([&] {
    require_given(out, "out");
    const auto held = hold(bundle);
    const cfack::Bundle& b = *held;
    const cfack::Geometry& g = b.geometry();
    const cfack_bundle_info info = {sizeof info,         b.path().c_str(),      b.precision().c_str(),
                                    b.embedding_space().c_str(), b.onnxruntime_version().c_str(), g.image_height,
                                    g.image_width,       g.image_token_count,   g.image_token_width,
                                    g.text_token_width,  g.embed_dim,           g.max_tokens,
                                    g.vocab_size,        b.engine_library_version().c_str(),
                                    b.score_calibration() ? 1 : 0, 0};
    cfack::write_struct(out, info, "cfack_bundle_info");
  });
}

void cfack_bundle_free(cfack_bundle* bundle) { delete bundle; }

int cfack_tokenize(int64_t* ids, size_t* count, const cfack_bundle* bundle, const char* text) {
  return guarded([&] {
    require_given(count, "count");
    const auto held = hold(bundle);
    require_given(text, "text");
    cfack::Bundle::Lease work(*held);
    if (work->ids.empty()) work->ids.resize(1);
    std::vector<int64_t>& found = work->ids[0];
    held->tokenizer().encode(text, found, work->tokenizer);
    const size_t room = *count;
    *count = found.size();
    if (found.size() > room) {
      throw Error(CFACK_ERROR_INVALID, "the text has " + std::to_string(found.size()) + " ids, but there is room for " +
                                           std::to_string(room));
    }
    require_given(ids, "ids");
    std::copy(found.begin(), found.end(), ids);
  });
}

int cfack_encode_texts(float* embeddings, const cfack_bundle* bundle, const char* const* texts, size_t count) {
  return guarded([&] {
    const auto held = hold(bundle);
    if (count == 0) return;
    require_given(embeddings, "embeddings");
    require_given(texts, "texts");
    const cfack::Bundle& b = *held;
    const size_t dim = b.geometry().embed_dim;
    cfack::Bundle::Lease work(b);
    cfack::tokenize(b, texts, count, "caption", &*work);
    cfack::sort_by_length(0, count, &*work);
    cfack::RunResult encoded;
    for (size_t start = 0, end = 0; start < count; start = end) {
      end = cfack::batch_end(*work, start);
      const size_t* rows = work->order.data() + start;
      cfack::run_text_encoder(b, &*work, rows, end - start, &encoded);
      const auto* from = static_cast<const float*>(encoded.get("text_embedding").data);
      for (size_t i = 0; i < end - start; ++i) std::copy_n(from + i * dim, dim, embeddings + rows[i] * dim);
    }
  });
}
