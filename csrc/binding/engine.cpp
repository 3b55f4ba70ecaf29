#include "binding/engine.h"

#include "binding/bind.h"

namespace py = pybind11;

namespace pymdm::binding {

void bind_engine(py::module_& m) { py::class_<Engine, std::shared_ptr<Engine>>(m, "Engine"); }

}  // namespace pymdm::binding
