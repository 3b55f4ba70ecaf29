// Binds facts of the build and the machine, for `pymdm info` and the import check.
#include "binding/bind.h"
#include "core/cpu.h"
#include "core/parallel.h"
#include "ops/choose.h"

namespace py = pybind11;

namespace pymdm::binding {

void bind_info(py::module_& m) {
  m.attr("version") = PYMDM_VERSION;
  m.attr("torch_version") = PYMDM_TORCH_VERSION;
  m.attr("cuda_archs") = PYMDM_CUDA_ARCHS;
  m.attr("cuda_built") = ops::cuda_built();
  m.def("cuda_devices", &ops::cuda_devices, "Number of devices the CUDA kernels of this build can use.");
  m.def(
      "cpu_features",
      [] {
        const CpuFeatures f = cpu_features();
        py::typing::Dict<py::str, bool> out;
        out["avx2"] = f.avx2;
        out["avx512"] = f.avx512;
        out["avx512_bf16"] = f.avx512_bf16;
        out["amx_bf16"] = f.amx_bf16;
        return out;
      },
      "CPU features in use: present and not switched off by PYMDM_CPU_DISABLE.");
  m.def("set_num_threads", &set_num_threads, py::arg("n"),
        "Threads of pymdm's own loops; below 1 means one a processor.");
  m.def("num_threads", &num_threads);
}

}  // namespace pymdm::binding
