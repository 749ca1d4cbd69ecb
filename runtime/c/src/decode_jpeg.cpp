#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>

#include <jpeglib.h>

#include "decode.h"
#include "decode_metadata.h"
#include "error.h"

namespace cfack {
namespace {

// libjpeg-turbo over a file in memory. libjpeg leaves by longjmp: no method that calls it may have a local
// with a destructor.
class JpegReader {
 public:
  explicit JpegReader(Bytes file) {
    std::memset(&info_, 0, sizeof info_);
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = leave;
    errors_.base.output_message = [](j_common_ptr) {};  // warnings: odd data that still gives pixels
    errors_.text[0] = '\0';
    std::memset(&source_, 0, sizeof source_);
    source_.next_input_byte = file.data;
    source_.bytes_in_buffer = file.size;
    source_.init_source = [](j_decompress_ptr) {};
    source_.term_source = [](j_decompress_ptr) {};
    source_.fill_input_buffer = [](j_decompress_ptr) -> boolean { return FALSE; };  // the file ends: suspend
    source_.resync_to_restart = jpeg_resync_to_restart;
    source_.skip_input_data = [](j_decompress_ptr info, long count) {
      jpeg_source_mgr& source = *info->src;
      const size_t skipped = count > 0 ? std::min(static_cast<size_t>(count), source.bytes_in_buffer) : 0;
      source.next_input_byte += skipped;
      source.bytes_in_buffer -= skipped;
    };
  }
  ~JpegReader() { jpeg_destroy_decompress(&info_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  // Up to the first scan. False: see problem().
  bool read_header() {
    if (setjmp(errors_.jump)) return false;
    jpeg_create_decompress(&info_);
    info_.src = &source_;
    jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xFFFF);
    int status;
    do {
      status = jpeg_read_header(&info_, FALSE);
    } while (status == JPEG_HEADER_TABLES_ONLY);
    return status != JPEG_SUSPENDED;
  }

  bool start(J_COLOR_SPACE colors) {
    if (setjmp(errors_.jump)) return false;
    info_.out_color_space = colors;
    return jpeg_start_decompress(&info_) == TRUE;
  }

  bool read_row(uint8_t* row) {
    if (setjmp(errors_.jump)) return false;
    return jpeg_read_scanlines(&info_, &row, 1) == 1;
  }

  const jpeg_decompress_struct& info() const { return info_; }
  std::string problem() const { return errors_.text[0] ? errors_.text : "it ends too early"; }

 private:
  struct Errors {
    jpeg_error_mgr base;  // first: libjpeg sees only this part
    jmp_buf jump;
    char text[JMSG_LENGTH_MAX];
  };

  [[noreturn]] static void leave(j_common_ptr info) {
    auto* errors = reinterpret_cast<Errors*>(info->err);
    errors->base.format_message(info, errors->text);
    std::longjmp(errors->jump, 1);
  }

  jpeg_decompress_struct info_;
  jpeg_source_mgr source_;
  Errors errors_;
};

Metadata read_metadata(const jpeg_decompress_struct& info) {
  static const char kExif[] = "Exif\0";                            // and the NUL that ends the literal
  static const char kXmp[] = "http://ns.adobe.com/xap/1.0/";
  Metadata metadata;
  for (jpeg_saved_marker_ptr marker = info.marker_list; marker; marker = marker->next) {
    const Bytes bytes{marker->data, marker->data_length};
    const auto* text = reinterpret_cast<const char*>(bytes.data);
    if (bytes.starts_with(kExif, sizeof kExif)) {  // a long block is cut into several
      if (!metadata.exif) metadata.exif.emplace();
      metadata.exif->append(text + sizeof kExif, bytes.size - sizeof kExif);
    } else if (bytes.starts_with(kXmp, sizeof kXmp)) {
      metadata.xmp.assign(text + sizeof kXmp, bytes.size - sizeof kXmp);
    }
  }
  return metadata;
}

// Four inks to RGB as Pillow does it. The values lie inverted, as Adobe writes them: 255 is no ink.
void inks_to_rgb(const uint8_t* inks, int width, uint8_t* rgb) {
  for (int x = 0; x < width; ++x, inks += 4, rgb += 3) {
    const int white = inks[3];
    for (int channel = 0; channel < 3; ++channel) {
      const int product = (255 - inks[channel]) * white + 128;
      rgb[channel] = static_cast<uint8_t>(white - (((product >> 8) + product) >> 8));
    }
  }
}

}  // namespace

Image decode_jpeg(Bytes file, const std::string& name, int& orientation) {
  JpegReader reader(file);
  if (!reader.read_header()) refuse_damaged(name, reader.problem());
  const jpeg_decompress_struct& info = reader.info();
  require_decodable(info.image_width, info.image_height, name);
  if (info.data_precision != 8) {
    refuse_damaged(name, std::to_string(info.data_precision) + " bits a sample; 8 are supported");
  }
  const int channels = info.num_components;
  if (channels != 1 && channels != 3 && channels != 4) {
    refuse_damaged(name, std::to_string(channels) + " colour channels; 1, 3 and 4 are supported");
  }
  orientation = read_orientation(read_metadata(info));
  Image image;
  image.width = static_cast<int>(info.image_width);
  image.height = static_cast<int>(info.image_height);
  const size_t row_size = 3 * static_cast<size_t>(image.width);
  image.pixels.resize(row_size * static_cast<size_t>(image.height));
  std::vector<uint8_t> inks(channels == 4 ? 4 * static_cast<size_t>(image.width) : 0);
  if (!reader.start(channels == 4 ? JCS_CMYK : JCS_RGB)) refuse_damaged(name, reader.problem());
  for (int y = 0; y < image.height; ++y) {
    uint8_t* row = image.pixels.data() + static_cast<size_t>(y) * row_size;
    if (!reader.read_row(channels == 4 ? inks.data() : row)) refuse_damaged(name, reader.problem());
    if (channels == 4) inks_to_rgb(inks.data(), image.width, row);
  }
  return image;
}

}  // namespace cfack
