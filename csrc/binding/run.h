// The binding of the loop, and the claim of a run on its state: a state is changed by one run at a time.
#pragma once

#include <pybind11/pybind11.h>

#include <set>

#include "core/error.h"
#include "sample/state.h"

namespace pymdm::binding {

void bind_run(pybind11::module_& m);

// Holds a state until it is released; a watch or another thread that asks for it meanwhile is refused. Under the GIL.
class Claim {
 public:
  explicit Claim(const sample::State& state) : state_(&state) {
    check(states().insert(state_).second, "sample", "this state is being sampled already");
  }
  ~Claim() { release(); }
  Claim(const Claim&) = delete;

  void release() {
    if (state_ != nullptr) states().erase(state_);
    state_ = nullptr;
  }

 private:
  static std::set<const sample::State*>& states() {
    static std::set<const sample::State*> all;
    return all;
  }
  const sample::State* state_;
};

}  // namespace pymdm::binding
