// Texts of similar length share a batch, which is as long as its longest.
#pragma once

#include <algorithm>
#include <cstddef>

namespace cfack {

// A batch ends where padding would exceed an eighth of its tokens, and 64 of them: fewer cost less than another pass
// over the weights.
inline constexpr size_t kPaddingShare = 8, kPaddingFree = 64;

// Where a batch of at most `most` ends that begins at `start` of `count` texts, whose `length(i)` do not fall.
template <typename Length>
size_t bucket_end(size_t start, size_t count, size_t most, Length&& length) {
  size_t tokens = 0;
  for (size_t end = start; end < count; ++end) {
    const size_t longest = length(end), rows = end - start;
    if (rows == most || rows * longest - tokens > std::max(kPaddingFree, tokens / kPaddingShare)) return end;
    tokens += longest;
  }
  return count;
}

}  // namespace cfack
