// Binds the forms of choose that only tests call, the bounds that it skips elements by, and Philox itself.
#include "binding/choose.h"

#include <pybind11/stl.h>

#include <array>

#include "ops/choose_lazy.h"
#include "random/philox.h"
#include "testing/bind.h"

namespace py = pybind11;

namespace pymdm::testing {
namespace {

using namespace binding;

template <void (*kForm)(const ops::ChooseArgs&)>
at::Tensor choose(const at::Tensor& logits, uint64_t seed, const at::Tensor& sequence, const at::Tensor& event,
                  const std::optional<at::Tensor>& base, int64_t purpose, double temperature,
                  const std::optional<at::Tensor>& banned, const AllowedIds& allowed) {
  check(logits.is_cpu(), "choose", "this form is for cpu");
  const ChooseCall call(logits, seed, sequence, event, base, purpose, temperature, banned, 0, 1.0, allowed);
  py::gil_scoped_release release;
  kForm(call.args);
  return call.token;
}

at::Tensor gumbel_bounds(const at::Tensor& words) {
  const at::Tensor in = cpu_tensor("gumbel_bounds", "words", words, at::kLong, 1);
  at::Tensor out = at::empty({in.numel(), 2}, at::kDouble);
  for (int64_t i = 0; i < in.numel(); ++i) {
    const uint32_t word = static_cast<uint32_t>(in.data_ptr<int64_t>()[i]);
    out.data_ptr<double>()[2 * i] = ops::gumbel_lower(word);
    out.data_ptr<double>()[2 * i + 1] = ops::gumbel_upper(word);
  }
  return out;
}

template <void (*kForm)(const ops::ChooseArgs&)>
void bind_form(py::module_& m, const char* name, const char* doc) {
  m.def(name, &choose<kForm>, py::arg("logits"), py::arg("seed"), py::arg("sequence"), py::arg("event"),
        py::arg("base") = std::nullopt, py::arg("purpose") = 3, py::arg("temperature") = 1.0,
        py::arg("banned") = std::nullopt, py::arg("allowed") = std::nullopt, doc);
}

}  // namespace

void bind_choose(py::module_& m) {
  bind_form<ops::choose_full>(m, "choose_full", "choose with every element evaluated in float64; good rows only.");
  bind_form<ops::choose_tiles>(m, "choose_tiles", "choose as the CUDA kernel walks it, on cpu; bad rows give -1.");
  m.def("gumbel_bounds", &gumbel_bounds, py::arg("words"),
        "[n, 2] float64: bounds of the Gumbel noise of all draws whose high 32-bit words are [n] int64.");
  m.def(
      "philox",
      [](std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
        const Words4 out = philox(Words4{{c[0], c[1], c[2], c[3]}}, Key2{k[0], k[1]});
        return std::array<uint32_t, 4>{out.w[0], out.w[1], out.w[2], out.w[3]};
      },
      py::arg("counter"), py::arg("key"), "Philox4x32-10 of a counter of 4 and a key of 2 words.");
}

}  // namespace pymdm::testing
