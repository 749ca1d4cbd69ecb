// libFuzzer: any bytes as gallery.json or images.jsonl give a value or an Error, and what is read is written again.
#include <cstddef>
#include <cstdint>

#include "error.h"
#include "gallery_index.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const cfack::GalleryIndex index = cfack::parse_gallery_index(text, "fuzz");
    cfack::parse_gallery_index(cfack::gallery_index_bytes(index), "written");
  } catch (const cfack::Error& error) {
    if (std::string_view(error.what()).substr(0, 7) == "written") __builtin_trap();
  }
  try {
    for (const cfack::ImageRecord& image : cfack::parse_images(text, "fuzz")) {
      cfack::parse_images(cfack::image_line(image), "written");
    }
  } catch (const cfack::Error& error) {
    if (std::string_view(error.what()).substr(0, 7) == "written") __builtin_trap();
  }
  return 0;
}
