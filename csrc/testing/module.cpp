// The second extension, _C_testing, binds what tests ask of the core and no user does. No wheel holds it.
#include "testing/bind.h"

PYBIND11_MODULE(_C_testing, m) {
  m.doc() = "Single operators and other insides of the compiled core, for tests.";
  pybind11::module_::import("pymdm._C");  // its classes are arguments here
  pymdm::testing::bind_ops(m);
  pymdm::testing::bind_choose(m);
  pymdm::testing::bind_device(m);
}
