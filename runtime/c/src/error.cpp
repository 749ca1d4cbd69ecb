#include "error.h"

#include <cstring>
#include <exception>
#include <new>

namespace cfack {
namespace {

constexpr size_t kLongestMessage = 2048;
constexpr const char* kLeftOut = " ... ";

// A plain array: storing a message must not need memory, which may be what has run out.
struct LastError {
  int code = CFACK_OK;
  char message[kLongestMessage] = "";
};

thread_local LastError last_error;

}  // namespace

int set_last_error(int code, const char* message) noexcept {
  last_error.code = code;
  const size_t length = std::strlen(message);
  if (length < kLongestMessage) {
    std::memcpy(last_error.message, message, length + 1);
    return code;
  }
  // What is wrong stands behind the name that made it so long: the middle is left out.
  const auto inside = [message](size_t at) { return (static_cast<unsigned char>(message[at]) & 0xc0) == 0x80; };
  size_t tail = kLongestMessage / 2, head = kLongestMessage - 1 - tail - std::strlen(kLeftOut);
  while (head > 0 && inside(head)) --head;  // no character is cut in two
  while (tail > 0 && inside(length - tail)) --tail;
  std::memcpy(last_error.message, message, head);
  std::memcpy(last_error.message + head, kLeftOut, std::strlen(kLeftOut));
  std::memcpy(last_error.message + head + std::strlen(kLeftOut), message + length - tail, tail + 1);
  return code;
}

int status_of_current_exception() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    return set_last_error(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return set_last_error(CFACK_ERROR_MEMORY, "out of memory; free some, or give smaller batches");
  } catch (const std::length_error& error) {
    return set_last_error(CFACK_ERROR_MEMORY, error.what());
  } catch (const std::exception& error) {
    return set_last_error(CFACK_ERROR_INTERNAL, error.what());
  } catch (...) {
    return set_last_error(CFACK_ERROR_INTERNAL, "an exception of unknown type");
  }
}

}  // namespace cfack

const char* cfack_last_error(void) { return cfack::last_error.message; }

int cfack_last_error_code(void) { return cfack::last_error.code; }

const char* cfack_status_name(int code) {
  switch (code) {
    case CFACK_OK: return "CFACK_OK";
    case CFACK_ERROR_INVALID: return "CFACK_ERROR_INVALID";
    case CFACK_ERROR_DATA: return "CFACK_ERROR_DATA";
    case CFACK_ERROR_IMAGE: return "CFACK_ERROR_IMAGE";
    case CFACK_ERROR_BUNDLE: return "CFACK_ERROR_BUNDLE";
    case CFACK_ERROR_GALLERY: return "CFACK_ERROR_GALLERY";
    case CFACK_ERROR_EMBEDDING_SPACE: return "CFACK_ERROR_EMBEDDING_SPACE";
    case CFACK_ERROR_BACKEND: return "CFACK_ERROR_BACKEND";
    case CFACK_ERROR_MEMORY: return "CFACK_ERROR_MEMORY";
    case CFACK_ERROR_NOT_FOUND: return "CFACK_ERROR_NOT_FOUND";
    case CFACK_ERROR_CANCELLED: return "CFACK_ERROR_CANCELLED";
    case CFACK_ERROR_INTERNAL: return "CFACK_ERROR_INTERNAL";
    default: return "unknown";
  }
}
