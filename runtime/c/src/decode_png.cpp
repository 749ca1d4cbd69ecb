#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstring>

#include "decode.h"
#include "decode_png_chunks.h"
#include "error.h"

namespace cfack {
namespace {

constexpr int kHeaderSize = 13;
constexpr size_t kMostColors = 256;

// The chunks that libpng needs, one after the other: it sees no others, and so nothing but pixels.
class ChunkStream {
 public:
  explicit ChunkStream(const PngChunks& chunks) {
    static const uint8_t signature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    spans_.reserve(3 * (chunks.data.size() + 2) + 1);
    heads_.reserve(chunks.data.size() + 2);  // spans_ points into it
    spans_.push_back({signature, sizeof signature});
    add("IHDR", {chunks.header.data, kHeaderSize});
    if (chunks.palette.size > 0) add("PLTE", chunks.palette);
    for (const Bytes chunk : chunks.data) add("IDAT", chunk);
  }

  // False at the end.
  bool read(uint8_t* to, size_t size) {
    while (size > 0) {
      if (span_ == spans_.size()) return false;
      const Bytes span = spans_[span_].from(used_);
      const size_t part = std::min(size, span.size);
      std::memcpy(to, span.data, part);
      to += part;
      size -= part;
      used_ += part;
      if (part == span.size) {
        ++span_;
        used_ = 0;
      }
    }
    return true;
  }

 private:
  void add(const char* kind, Bytes chunk) {
    static const uint8_t checksum[4] = {};  // libpng is told not to look; read_png_chunks has
    std::array<uint8_t, 8> head{};
    for (int i = 0; i < 4; ++i) head[static_cast<size_t>(i)] = static_cast<uint8_t>(chunk.size >> (24 - 8 * i));
    std::memcpy(&head[4], kind, 4);
    heads_.push_back(head);
    spans_.push_back({heads_.back().data(), head.size()});
    spans_.push_back(chunk);
    spans_.push_back({checksum, sizeof checksum});
  }

  std::vector<Bytes> spans_;
  std::vector<std::array<uint8_t, 8>> heads_;
  size_t span_ = 0, used_ = 0;
};

// libpng over the chunks. It leaves by longjmp: no method that calls it may have a local with a destructor.
class PngReader {
 public:
  explicit PngReader(ChunkStream& stream) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, leave, [](png_structp, png_const_charp) {});
    info_ = png_ ? png_create_info_struct(png_) : nullptr;
    if (!info_) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw Error(CFACK_ERROR_MEMORY, "libpng cannot be started: out of memory, or of another version");
    }
    png_set_read_fn(png_, &stream, [](png_structp png, png_bytep to, size_t size) {
      if (!static_cast<ChunkStream*>(png_get_io_ptr(png))->read(to, size)) png_error(png, "it ends too early");
    });
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  // Up to the pixels, which will come as RGB, or as one byte an index where there is a palette.
  bool read_header() {
    if (setjmp(jump_)) return false;
    png_set_crc_action(png_, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
    png_set_benign_errors(png_, 1);
    png_set_user_limits(png_, kMaxSide, kMaxSide);
    png_read_info(png_, info_);
    if (has_palette()) {
      png_set_packing(png_);
    } else {
      png_set_expand_gray_1_2_4_to_8(png_);
      png_set_strip_16(png_);
      png_set_strip_alpha(png_);
      png_set_gray_to_rgb(png_);
    }
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  // What is wrong behind the last pixel does not matter.
  bool read_pixels(uint8_t** rows) {
    if (setjmp(jump_)) return has_all_pixels();
    png_read_image(png_, rows);
    return true;
  }

  bool has_palette() const { return (png_get_color_type(png_, info_) & PNG_COLOR_MASK_PALETTE) != 0; }
  size_t row_size() const { return png_get_rowbytes(png_, info_); }
  const char* problem() const { return text_; }

 private:
  bool has_all_pixels() const {
    return png_get_interlace_type(png_, info_) == PNG_INTERLACE_NONE
               ? png_get_current_row_number(png_) >= png_get_image_height(png_, info_)
               : png_get_current_pass_number(png_) >= PNG_INTERLACE_ADAM7_PASSES;
  }

  [[noreturn]] static void leave(png_structp png, png_const_charp text) {
    auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
    std::strncpy(reader->text_, text ? text : "", sizeof reader->text_ - 1);
    std::longjmp(reader->jump_, 1);
  }

  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  jmp_buf jump_;
  char text_[128] = {};
};

// An index without a colour is black.
void indices_to_rgb(const std::vector<uint8_t>& indices, Bytes palette, uint8_t* rgb) {
  uint8_t colors[3 * kMostColors] = {};
  std::memcpy(colors, palette.data, std::min(palette.size, sizeof colors));
  for (const uint8_t index : indices) {
    std::memcpy(rgb, colors + 3 * index, 3);
    rgb += 3;
  }
}

uint32_t big_endian(const uint8_t* bytes) {
  return static_cast<uint32_t>(bytes[0]) << 24 | static_cast<uint32_t>(bytes[1]) << 16 |
         static_cast<uint32_t>(bytes[2]) << 8 | bytes[3];
}

}  // namespace

Image decode_png(Bytes file, const std::string& name, int& orientation) {
  const PngChunks chunks = read_png_chunks(file, name);
  Image image;
  const uint32_t width = big_endian(chunks.header.data), height = big_endian(chunks.header.data + 4);
  require_decodable(width, height, name);  // before libpng reserves anything
  orientation = read_orientation(chunks.metadata);
  image.width = static_cast<int>(width);
  image.height = static_cast<int>(height);
  ChunkStream stream(chunks);
  PngReader reader(stream);
  if (!reader.read_header()) refuse_damaged(name, reader.problem());
  const bool indexed = reader.has_palette();
  const size_t row_size = static_cast<size_t>(width) * (indexed ? 1 : 3);
  if (reader.row_size() != row_size) throw Error(CFACK_ERROR_INTERNAL, name + ": libpng gives rows of another size");
  image.pixels.resize(3 * static_cast<size_t>(width) * height);
  std::vector<uint8_t> indices(indexed ? row_size * height : 0);
  std::vector<uint8_t*> rows(height);
  for (uint32_t y = 0; y < height; ++y) rows[y] = (indexed ? indices : image.pixels).data() + y * row_size;
  if (!reader.read_pixels(rows.data())) refuse_damaged(name, reader.problem());
  if (indexed) indices_to_rgb(indices, chunks.palette, image.pixels.data());
  return image;
}

}  // namespace cfack
