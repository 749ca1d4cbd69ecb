// Structs of the C boundary, which may be shorter or longer than ours: their first member is their size.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "error.h"

namespace cfack {

// Every member of the first version of a struct; an older one is a mistake.
template <typename T>
void require_size(const T* value, const char* name) {
  if (value->size < sizeof(T)) {
    throw Error(CFACK_ERROR_INVALID, std::string(name) + ": size is " + std::to_string(value->size) + ", expected " +
                                         std::to_string(sizeof(T)) + "; initialise it with its _INIT macro");
  }
}

// What a caller gives, NULL for the defaults.
template <typename T>
T read_options(const T* given, const T& defaults, const char* name) {
  if (given == nullptr) return defaults;
  require_size(given, name);
  const auto* bytes = reinterpret_cast<const uint8_t*>(given);
  if (given->size > 65536 || std::any_of(bytes + sizeof(T), bytes + given->size, [](uint8_t b) { return b != 0; })) {
    throw Error(CFACK_ERROR_INVALID,
                std::string(name) + ": holds members that this library does not know; use a newer libcfack");
  }
  return *given;
}

// Fill what a caller takes; members that we do not know become zero.
template <typename T>
void write_struct(T* out, T value, const char* name) {
  require_size(out, name);
  if (out->size > 65536) throw Error(CFACK_ERROR_INVALID, std::string(name) + ": size is not set");
  const size_t size = out->size;
  value.size = size;
  std::memcpy(out, &value, sizeof(T));
  if (size > sizeof(T)) std::memset(reinterpret_cast<uint8_t*>(out) + sizeof(T), 0, size - sizeof(T));
}

template <typename T>
void require_given(const T* pointer, const char* name) {
  if (pointer == nullptr) throw Error(CFACK_ERROR_INVALID, std::string(name) + " is NULL");
}

}  // namespace cfack
