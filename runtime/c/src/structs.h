// Structs of the C boundary, which may be shorter or longer than ours: their first member is their size.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "error.h"

namespace cfack {

constexpr size_t kLongestStruct = 65536;  // more is a size that was never set

// Size of a struct in the first version of the ABI; members behind it were added later.
template <typename T>
constexpr size_t kFirstSize = sizeof(T);
template <>
inline constexpr size_t kFirstSize<cfack_bundle_options> = offsetof(cfack_bundle_options, engine_library);
template <>
inline constexpr size_t kFirstSize<cfack_bundle_info> = offsetof(cfack_bundle_info, engine_library);
template <>
inline constexpr size_t kFirstSize<cfack_search_options> = offsetof(cfack_search_options, where);
template <>
inline constexpr size_t kFirstSize<cfack_writer_options> = offsetof(cfack_writer_options, allow_unmeasured);
template <>
inline constexpr size_t kFirstSize<cfack_index_options> = offsetof(cfack_index_options, embeddings);

template <typename T>
void require_size(const T* value, const char* name) {
  if (value->size >= kFirstSize<T> && value->size <= kLongestStruct) return;
  throw Error(CFACK_ERROR_INVALID, std::string(name) + ": size is " + std::to_string(value->size) + ", expected " +
                                       std::to_string(sizeof(T)) + "; initialise it with its _INIT macro");
}

// What a caller gives, NULL for the defaults. Members that an older caller does not know are zero.
template <typename T>
T read_options(const T* given, const T& defaults, const char* name) {
  if (given == nullptr) return defaults;
  require_size(given, name);
  const auto* bytes = reinterpret_cast<const uint8_t*>(given);
  const size_t known = std::min(given->size, sizeof(T));
  if (std::any_of(bytes + known, bytes + given->size, [](uint8_t b) { return b != 0; })) {
    throw Error(CFACK_ERROR_INVALID,
                std::string(name) + ": holds members that this library does not know; use a newer libcfack");
  }
  T options{};
  std::memcpy(&options, given, known);
  return options;
}

// Fill what a caller takes, as far as the caller knows it; members that we do not know become zero.
template <typename T>
void write_struct(T* out, T value, const char* name) {
  require_size(out, name);
  const size_t size = out->size, known = std::min(size, sizeof(T));
  value.size = size;
  std::memcpy(out, &value, known);
  if (size > known) std::memset(reinterpret_cast<uint8_t*>(out) + known, 0, size - known);
}

template <typename T>
void require_given(const T* pointer, const char* name) {
  if (pointer == nullptr) throw Error(CFACK_ERROR_INVALID, std::string(name) + " is NULL");
}

inline void require_range(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return;
  throw Error(CFACK_ERROR_INVALID, std::string(name) + " is " + std::to_string(value) + ", expected " +
                                       std::to_string(low) + " to " + std::to_string(high));
}

}  // namespace cfack
