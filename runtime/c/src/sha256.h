// SHA-256 (FIPS 180-4), with the processor's own instructions where it has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cfack {

class Sha256 {
 public:
  enum class Code { kFastest, kPortable };  // the second is for processors without such instructions, and for tests

  explicit Sha256(Code code = Code::kFastest);
  void update(const void* data, size_t size);
  std::string hex_digest();  // 64 lower-case hexadecimal digits; the object is of no use afterwards

 private:
  void (*blocks_)(uint32_t* state, const uint8_t* data, size_t count);
  uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint64_t length_ = 0;
  uint8_t pending_[64] = {};
};

std::string sha256_hex(std::string_view data);

}  // namespace cfack
