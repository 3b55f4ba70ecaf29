// Declares one bind function for each file of the test extension.
#pragma once

#include <torch/csrc/utils/pybind.h>

namespace pymdm::testing {

void bind_ops(pybind11::module_& m);
void bind_choose(pybind11::module_& m);
void bind_device(pybind11::module_& m);

}  // namespace pymdm::testing
