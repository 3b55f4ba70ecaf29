// Declares one bind function for each file of the extension. pybind11 translates the core's Error, a
// std::invalid_argument, to ValueError.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/typing.h>

namespace pymdm::binding {

// Plain data by name: settings, a saved state.
using Named = pybind11::typing::Dict<pybind11::str, pybind11::object>;

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
