// libcfack from C++11: handles that free themselves, and exceptions. Everything else is in cfack.h.
#ifndef CFACK_HPP
#define CFACK_HPP

#include <cfack.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace cfack_cpp {

class Error : public std::runtime_error {
 public:
  Error(int code, const char* message) : std::runtime_error(message), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

inline void check(int status) {
  if (status != CFACK_OK) throw Error(status, cfack_last_error());
}

template <typename T, void (*Free)(T*)>
struct Freed {
  void operator()(T* handle) const { Free(handle); }
};

template <typename T, void (*Free)(T*)>
using Handle = std::unique_ptr<T, Freed<T, Free>>;

inline std::vector<const char*> pointers(const std::vector<std::string>& texts) {
  std::vector<const char*> found;
  for (const std::string& text : texts) found.push_back(text.c_str());
  return found;
}

// Images of one bundle's size; see cfack_images.
class Images {
 public:
  explicit Images(cfack_images* handle) : handle_(handle) {}
  Images& add_file(const std::string& path) { return check(cfack_images_add_file(get(), path.c_str())), *this; }
  Images& add_encoded(const void* data, std::size_t size) {
    return check(cfack_images_add_encoded(get(), data, size)), *this;
  }
  Images& add_rgb(const void* pixels, std::uint32_t width, std::uint32_t height, std::size_t stride) {
    return check(cfack_images_add_rgb(get(), pixels, width, height, stride)), *this;
  }
  void clear() { cfack_images_clear(get()); }
  std::size_t size() const { return cfack_images_count(get()); }
  cfack_images* get() const { return handle_.get(); }

 private:
  Handle<cfack_images, cfack_images_free> handle_;
};

class Gallery {
 public:
  explicit Gallery(const std::string& path) {
    cfack_gallery* opened = nullptr;
    check(cfack_gallery_open(&opened, path.c_str()));
    handle_.reset(opened);
  }
  cfack_gallery_info info() const {
    cfack_gallery_info info = CFACK_GALLERY_INFO_INIT;
    check(cfack_gallery_get_info(&info, get()));
    return info;
  }
  cfack_gallery_image image(std::uint64_t place) const {
    cfack_gallery_image image = CFACK_GALLERY_IMAGE_INIT;
    check(cfack_gallery_get_image(&image, get(), place));
    return image;
  }
  cfack_gallery* get() const { return handle_.get(); }

 private:
  Handle<cfack_gallery, cfack_gallery_free> handle_;
};

class Results {
 public:
  explicit Results(cfack_results* handle) : handle_(handle) {}
  std::size_t queries() const { return cfack_results_query_count(handle_.get()); }
  // The hits of one query; their strings live as long as the results.
  std::vector<cfack_hit> hits(std::size_t query = 0) const {
    std::vector<cfack_hit> found(cfack_results_hit_count(handle_.get(), query));
    for (std::size_t i = 0; i < found.size(); ++i) {
      found[i].size = sizeof(cfack_hit);
      check(cfack_results_get_hit(&found[i], handle_.get(), query, i));
    }
    return found;
  }

 private:
  Handle<cfack_results, cfack_results_free> handle_;
};

class Bundle {
 public:
  explicit Bundle(const std::string& path, const cfack_bundle_options* options = nullptr) {
    cfack_bundle* opened = nullptr;
    check(cfack_bundle_open(&opened, path.c_str(), options));
    handle_.reset(opened);
  }
  cfack_bundle_info info() const {
    cfack_bundle_info info = CFACK_BUNDLE_INFO_INIT;
    check(cfack_bundle_get_info(&info, get()));
    return info;
  }
  Images images() const {
    cfack_images* made = nullptr;
    check(cfack_images_new(&made, get()));
    return Images(made);
  }
  // Row by row, `info().embed_dim` floats each.
  std::vector<float> encode(const std::vector<std::string>& texts) const {
    std::vector<float> embeddings(texts.size() * info().embed_dim);
    check(cfack_encode_texts(embeddings.data(), get(), pointers(texts).data(), texts.size()));
    return embeddings;
  }
  std::vector<float> encode(const Images& images) const {
    std::vector<float> embeddings(images.size() * info().embed_dim);
    check(cfack_encode_images(embeddings.data(), get(), images.get()));
    return embeddings;
  }
  // Two logits an image; the second ranks.
  std::vector<float> match(const std::string& text, const Images& images) const {
    std::vector<float> logits(images.size() * 2);
    check(cfack_match_images(logits.data(), get(), text.c_str(), images.get()));
    return logits;
  }
  cfack_index_report index(const std::string& folder, const std::string& gallery,
                           const cfack_index_options* options = nullptr) const {
    cfack_index_report report = CFACK_INDEX_REPORT_INIT;
    check(cfack_index_folder(&report, get(), folder.c_str(), gallery.c_str(), options));
    return report;
  }
  Results search(const Gallery& gallery, const std::vector<std::string>& queries,
                 const cfack_search_options* options = nullptr) const {
    cfack_results* found = nullptr;
    check(cfack_search(&found, get(), gallery.get(), pointers(queries).data(), queries.size(), options));
    return Results(found);
  }
  cfack_bundle* get() const { return handle_.get(); }

 private:
  Handle<cfack_bundle, cfack_bundle_free> handle_;
};

}  // namespace cfack_cpp

#endif  // CFACK_HPP
