// One error type. A message starts with the operator, says what was expected and what came; Python sees a ValueError.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

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

template <class... Parts>
void check(bool ok, const char* op, const Parts&... parts) {
  if (!ok) fail(op, parts...);
}

}  // namespace pymdm
