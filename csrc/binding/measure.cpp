// Binds what benchmarks compare with: the processor's own peak, and a plain pass over the logits.
#include <torch/csrc/utils/pybind.h>

#include "binding/bind.h"
#include "binding/tensor.h"
#include "ops/choose.h"
#include "ops/peak.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

at::Tensor plain_max(const at::Tensor& logits) {
  check(logits.dim() == 2 && logits.device().is_cpu() && (logits.stride(1) == 1 || logits.size(1) <= 1), "plain_max",
        "logits must be [M, V] on cpu with adjacent columns, got ", shape_of(logits));
  at::Tensor most = at::empty({logits.size(0)}, at::kFloat);
  const DType dtype = logits_dtype("plain_max", logits);
  py::gil_scoped_release release;
  ops::plain_max(logits.data_ptr(), dtype, logits.size(0), logits.size(1), logits.stride(0), most.data_ptr<float>());
  return most;
}

double peak(bool bfloat16, int64_t operations) {
  check(operations >= 0 && operations <= int64_t{1} << 40, "peak", "operations must be in [0, 2^40], got ", operations);
  py::gil_scoped_release release;
  return ops::peak(bfloat16 ? DType::kBFloat16 : DType::kFloat32, operations);
}

}  // namespace

void bind_measure(py::module_& m) {
  m.def("plain_max", &plain_max, py::arg("logits"),
        "[M] float32: the largest logit of each row of [M, V], read once with the widest vectors; for benchmarks.");
  m.def("peak", &peak, py::arg("bfloat16"), py::arg("operations"),
        "Makes about this many multiply-adds on registers alone, and returns how many; for benchmarks.");
}

}  // namespace pymdm::binding
