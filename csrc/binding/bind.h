// What the files of this room share: one bind function each, and the exception translation of pybind11 for core Error
// (std::invalid_argument becomes ValueError).
#pragma once

#include <pybind11/pybind11.h>

namespace pymdm::binding {

void bind_info(pybind11::module_& m);
void bind_random(pybind11::module_& m);
void bind_choose(pybind11::module_& m);
void bind_choose_emulated(pybind11::module_& m);
void bind_engine(pybind11::module_& m);
void bind_measure(pybind11::module_& m);
void bind_state(pybind11::module_& m);
void bind_sample(pybind11::module_& m);
void bind_python_sampler(pybind11::module_& m);
void bind_device(pybind11::module_& m);

}  // namespace pymdm::binding
