// Makes a Python function the score of positions that samplers choose by.
#pragma once

#include <torch/csrc/utils/pybind.h>

#include "sample/position_score.h"

namespace pymdm::binding {

// Calls score(tokens [b, L] int64, logits [b, L, V]) -> float64 [b, L] on the CPU, once per length that is in the
// batch; none for None. The Python side (pymdm/sampling/samplers/position_score.py) makes any user's function such a
// one.
sample::PositionScore position_score(pybind11::object score);

}  // namespace pymdm::binding
