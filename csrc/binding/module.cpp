// The extension module: one bind_* function a room.
#include "binding/bind.h"

PYBIND11_MODULE(_C, m) {
  m.doc() = "C++/CUDA core of pymdm; use it through the pymdm package.";
  pymdm::binding::bind_info(m);
  pymdm::binding::bind_random(m);
  pymdm::binding::bind_choose(m);
  pymdm::binding::bind_choose_emulated(m);
  pymdm::binding::bind_engine(m);
  pymdm::binding::bind_ops(m);
  pymdm::binding::bind_state(m);
  pymdm::binding::bind_sample(m);
  pymdm::binding::bind_python_sampler(m);
  pymdm::binding::bind_device(m);
}
