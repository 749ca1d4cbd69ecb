// Which way up an image lies, from its EXIF block or its XMP.
#pragma once

#include <optional>
#include <string>

namespace cfack {

// The blocks of a file that may say so, as raw bytes.
struct Metadata {
  std::optional<std::string> exif;  // a TIFF file, "Exif\0\0" before it or not
  bool exif_is_unreadable = false;  // it is there, in a form that nobody reads
  std::optional<std::string> hex_exif;  // ImageMagick's "Raw profile type exif"
  std::string xmp;
};

// The EXIF orientation, 1 to 8; 1 (upright) where nothing says otherwise. Agrees with Pillow on damaged blocks
// too: EXIF goes before XMP, and a block with a broken head says nothing and hides the XMP.
int read_orientation(const Metadata& metadata);

}  // namespace cfack
