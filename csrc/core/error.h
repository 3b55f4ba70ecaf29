// The one error type of the core. A message starts with the operator, says what was expected and what came; Python sees
// a ValueError.
#pragma once

#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace pymdm {

struct Error : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

template <class... Parts>
[[noreturn]] void fail(const char* op, const Parts&... parts) {
  std::ostringstream message;
  message << op << ": ";
  (message << ... << parts);
  throw Error(message.str());
}

// An error in one row of logits, numbered from 0 in the call; a caller that knows what the row stands for says so
// instead.
struct RowError : Error {
  int64_t row;
  std::string reason;  // "has nan at token 3; expected finite logits or -inf"
  RowError(const std::string& message, int64_t row, std::string reason)
      : Error(message), row(row), reason(std::move(reason)) {}
};

template <class... Parts>
[[noreturn]] void fail_row(const char* op, int64_t row, const Parts&... parts) {
  std::ostringstream reason;
  (reason << ... << parts);
  throw RowError(std::string(op) + ": row " + std::to_string(row) + " " + reason.str(), row, reason.str());
}

template <class... Parts>
void check(bool ok, const char* op, const Parts&... parts) {
  if (!ok) fail(op, parts...);
}

}  // namespace pymdm
