// A PNG file, cut into its chunks.
#pragma once

#include <string>
#include <vector>

#include "decode.h"
#include "decode_metadata.h"

namespace cfack {

// What of the file says something about the pixels or which way up they lie.
struct PngChunks {
  Bytes header;             // IHDR
  Bytes palette;            // PLTE
  std::vector<Bytes> data;  // the IDAT chunks of the image; not those of an animation's later frames
  Metadata metadata;
};

// Throws CFACK_ERROR_IMAGE where a chunk is cut short, or a checksum before the pixels is wrong. Checksums of and
// after the pixels are not looked at, as Pillow does not.
PngChunks read_png_chunks(Bytes file, const std::string& name);

}  // namespace cfack
