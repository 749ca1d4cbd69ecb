// The one exception type of the library, and what becomes of it at the C boundary.
#pragma once

#include <stdexcept>
#include <string>

#include "cfack.h"

namespace cfack {

// Thrown wherever Python raises one of its errors; `what()` says what was got, what was expected and what
// to do. `code` is one of the CFACK_ERROR_ values of cfack.h.
class Error : public std::runtime_error {
 public:
  Error(int code, const std::string& message) : std::runtime_error(message), code_(code) {}
  int code() const noexcept { return code_; }

 private:
  int code_;
};

// Remember an error for cfack_last_error of this thread; returns `code`. Never throws.
int set_last_error(int code, const char* message) noexcept;

// Turn the exception that is being handled into a status, and remember its message. Never throws.
int status_of_current_exception() noexcept;

// Run the body of an entry point: nothing thrown inside leaves it.
template <typename Body>
int guarded(Body&& body) noexcept {
  try {
    body();
    return CFACK_OK;
  } catch (...) {
    return status_of_current_exception();
  }
}

}  // namespace cfack
