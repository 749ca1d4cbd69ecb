#include <cfack.hpp>

// Every function of the C++ header is instantiated.
void header_is_cxx11(const char* path);
void header_is_cxx11(const char* path) {
  cfack_bundle_options options = CFACK_BUNDLE_OPTIONS_INIT;
  const cfack_cpp::Bundle bundle(path, &options);
  cfack_cpp::Images images = bundle.images();
  images.add_file(path).clear();
  bundle.encode(images);
  bundle.encode(std::vector<std::string>{"a"});
  bundle.match("a", images);
  bundle.index(path, path);
  const cfack_cpp::Gallery gallery(path);
  bundle.search(gallery, {"a"}).hits();
}
