// Cases in and answers out, over stdin and stdout: how the Python tests drive the internal modules.
//
// A case is a 32-bit length and as many bytes. An answer is a 32-bit status (0, or a code of cfack.h), a length
// and the bytes: the result, or the message.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "error.h"

namespace frames {

inline bool read(std::string& bytes) {
  uint32_t size = 0;
  if (std::fread(&size, sizeof size, 1, stdin) != 1) return false;
  bytes.resize(size);
  return size == 0 || std::fread(bytes.data(), 1, size, stdin) == size;
}

inline void write(int32_t status, std::string_view bytes) {
  const auto size = static_cast<uint32_t>(bytes.size());
  std::fwrite(&status, sizeof status, 1, stdout);
  std::fwrite(&size, sizeof size, 1, stdout);
  std::fwrite(bytes.data(), 1, bytes.size(), stdout);
}

// Answers every case with what `work` makes of it.
template <typename Work>
int serve(Work&& work) {
  std::string bytes;
  while (read(bytes)) {
    try {
      write(0, work(std::string_view(bytes)));
    } catch (const cfack::Error& error) {
      write(error.code(), error.what());
    }
  }
  return 0;
}

}  // namespace frames
