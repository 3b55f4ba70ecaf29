// The extension module pymdm._C calls every bind function, then seals the classes.
#include "binding/bind.h"
#include "binding/run.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

// Class.__new__(Class) of pybind11 gives an object without a value, which any method would read. Here __new__ runs the
// constructor, so that every object that exists is whole; the call of __init__ that follows finds it made.
PyObject* make_whole(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  PyObject* self = type->tp_base->tp_new(type, args, kwargs);
  if (self != nullptr && type->tp_init(self, args, kwargs) != 0) Py_CLEAR(self);
  return self;
}

// No class of the module can be derived from, changed, or assigned to an object of another one.
void seal_classes(py::module_& m) {
  for (const auto& [name, value] : m.attr("__dict__").cast<py::dict>()) {
    if (!PyType_Check(value.ptr())) continue;
    auto* type = reinterpret_cast<PyTypeObject*>(value.ptr());
    type->tp_new = make_whole;
    type->tp_flags = (type->tp_flags & ~Py_TPFLAGS_BASETYPE) | Py_TPFLAGS_IMMUTABLETYPE;
    PyType_Modified(type);
  }
}

}  // namespace
}  // namespace pymdm::binding

PYBIND11_MODULE(_C, m) {
  m.doc() = "C++/CUDA core of pymdm; use it through the pymdm package.";
  pymdm::binding::bind_info(m);
  pymdm::binding::bind_random(m);
  pymdm::binding::bind_choose(m);
  pymdm::binding::bind_choose_emulated(m);
  pymdm::binding::bind_engine(m);
  pymdm::binding::bind_measure(m);
  pymdm::binding::bind_state(m);
  pymdm::binding::bind_sample(m);
  pymdm::binding::bind_python_sampler(m);
  pymdm::binding::bind_device(m);
  pymdm::binding::bind_run(m);
  pymdm::binding::seal_classes(m);
}
