#include "decode_png_chunks.h"

#include <zlib.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <string_view>

#include "error.h"
#include "unicode.h"

namespace cfack {
namespace {

constexpr size_t kMostText = 1 << 20;  // of a compressed text, unpacked

uint32_t big_endian(const uint8_t* bytes) {
  return static_cast<uint32_t>(bytes[0]) << 24 | static_cast<uint32_t>(bytes[1]) << 16 |
         static_cast<uint32_t>(bytes[2]) << 8 | bytes[3];
}

bool is_chunk_name(const uint8_t* name) {
  for (int i = 0; i < 4; ++i) {
    if (!(std::isalnum(name[i]) || name[i] == '_')) return false;
  }
  return true;
}

// What of a text can be unpacked, or nothing if it is no zlib stream.
std::optional<std::string> unpacked(std::string_view packed, const std::string& name) {
  std::string text(kMostText + 1, '\0');
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) throw Error(CFACK_ERROR_MEMORY, "zlib cannot be started: out of memory");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  const int status = inflate(&stream, Z_SYNC_FLUSH);
  const size_t size = stream.total_out;
  inflateEnd(&stream);
  if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) return std::nullopt;
  if (size > kMostText) refuse_damaged(name, "a text in it unpacks to more than a MiB");
  text.resize(size);
  return text;
}

bool is_utf8(std::string_view text) {
  try {
    decode_utf8(text);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// Up to the first NUL; `text` keeps what comes after. False if there is none.
bool take_field(std::string_view& text, std::string_view& field) {
  const size_t end = text.find('\0');
  if (end == text.npos) return false;
  field = text.substr(0, end);
  text.remove_prefix(end + 1);
  return true;
}

enum class Text { kPlain, kPacked, kInternational };

// The four texts that Pillow looks for an orientation in.
void read_text(Text kind, std::string_view text, const std::string& name, Metadata& metadata) {
  static constexpr std::string_view kExif("exif"), kHexExif("Raw profile type exif"), kXmp("XML:com.adobe.xmp");
  std::string_view key, language, translated;
  if (!take_field(text, key) || (key != kExif && key != kHexExif && key != kXmp)) return;
  std::string value(text);
  if (kind == Text::kPacked) {
    if (!text.empty() && text[0] != 0) refuse_damaged(name, "a text in it is packed by an unknown method");
    value = text.empty() ? "" : unpacked(text.substr(1), name).value_or("");
  } else if (kind == Text::kInternational) {
    if (text.size() < 2) return;
    const bool packed = text[0] != 0, known = text[1] == 0;
    text.remove_prefix(2);
    if (!take_field(text, language) || !take_field(text, translated) || (packed && !known)) return;
    value = text;
    if (packed) {
      std::optional<std::string> plain = unpacked(text, name);
      if (!plain) return;
      value = std::move(*plain);
    }
    if (!is_utf8(value) || !is_utf8(language) || !is_utf8(translated)) {
      if (key == kXmp && metadata.xmp.empty()) metadata.xmp = value;
      return;
    }
  }
  if (key == kXmp) {
    metadata.xmp = value;
  } else if (key == kHexExif) {
    metadata.hex_exif = value;
  } else {
    metadata.exif = value;
    metadata.exif_is_unreadable = kind != Text::kPlain;
  }
}

void read_metadata(std::string_view kind, Bytes chunk, const std::string& name, Metadata& metadata) {
  const std::string_view text(reinterpret_cast<const char*>(chunk.data), chunk.size);
  if (kind == "eXIf") {
    metadata.exif = std::string("Exif\0\0", 6).append(text);
    metadata.exif_is_unreadable = false;
  } else if (kind == "tEXt") {
    read_text(Text::kPlain, text, name, metadata);
  } else if (kind == "zTXt") {
    read_text(Text::kPacked, text, name, metadata);
  } else if (kind == "iTXt") {
    read_text(Text::kInternational, text, name, metadata);
  }
}

}  // namespace

PngChunks read_png_chunks(Bytes file, const std::string& name) {
  PngChunks chunks;
  bool ended = false;  // the run of IDAT chunks
  size_t at = 8;       // behind the signature
  while (file.size - at >= 8) {
    const uint8_t* head = file.data + at;
    const std::string_view kind(reinterpret_cast<const char*>(head) + 4, 4);
    const bool begun = !chunks.data.empty();
    if (!is_chunk_name(head + 4)) {
      if (begun) break;
      refuse_damaged(name, "a chunk before its pixels has no valid name");
    }
    if (kind == "IEND") break;
    const size_t left = file.size - at - 8;
    Bytes chunk{head + 8, big_endian(head)};
    if (kind == "IDAT" && !ended) {  // may be cut short: what is there may be enough
      if (chunk.size > left) chunk.size = left;
      chunks.data.push_back(chunk);
    } else {
      ended = begun;
      if (chunk.size > left) refuse_damaged(name, "it ends in the middle of a chunk");
      if (!begun) {
        const auto sum = static_cast<uint32_t>(
            crc32(crc32(0, head + 4, 4), chunk.data, static_cast<uInt>(chunk.size)));
        if (left - chunk.size < 4 || big_endian(chunk.data + chunk.size) != sum) {
          refuse_damaged(name, "the checksum of its " + std::string(kind) + " chunk is wrong");
        }
      }
      if (kind == "IHDR" && !begun) chunks.header = chunk;
      if (kind == "PLTE" && !begun) chunks.palette = chunk;
      read_metadata(kind, chunk, name, chunks.metadata);
    }
    at += 8 + chunk.size;
    at += std::min<size_t>(4, file.size - at);  // the checksum
  }
  if (chunks.data.empty()) refuse_damaged(name, "it ends before its pixels");
  if (chunks.header.size < 13) refuse_damaged(name, "it has no header");
  return chunks;
}

}  // namespace cfack
