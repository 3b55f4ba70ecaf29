// The random stream as tensors: for tests, audits and samplers written in Python.
#include "binding/bind.h"
#include "binding/tensor.h"
#include "random/gumbel.h"
#include "schedule/hitting.h"
#include "schedule/position.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

void check_address(const char* op, int64_t sequence, int64_t event, int64_t purpose, int64_t first, int64_t n) {
  check(sequence >= 0 && static_cast<uint64_t>(sequence) <= kMaxSequence, op, "sequence id must be in [0, 2^56), got ",
        sequence);
  check(event >= 0 && event < (int64_t{1} << 32), op, "event must be in [0, 2^32), got ", event);
  check(purpose >= 1 && purpose < 128, op, "purpose must be in 1..127, got ", purpose);
  check(first >= 0 && n >= 0 && static_cast<uint64_t>(first + n) <= kMaxIndex + 1, op,
        "indices must be in [0, 2^34), got ", first, " and ", n, " from there");
}

template <class F>
at::Tensor map_draws(const char* op, uint64_t seed, int64_t sequence, int64_t event, int64_t purpose, int64_t first,
                     int64_t n, at::ScalarType dtype, F&& f) {
  check_address(op, sequence, event, purpose, first, n);
  at::Tensor out = at::empty({n}, dtype);
  for (int64_t i = 0; i < n; ++i)
    f(out, i, random_bits(seed, sequence, static_cast<uint32_t>(event), static_cast<Purpose>(purpose), first + i));
  return out;
}

}  // namespace

void bind_random(py::module_& m) {
  m.def(
      "philox",
      [](std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
        const Words4 out = philox(Words4{{c[0], c[1], c[2], c[3]}}, Key2{k[0], k[1]});
        return std::array<uint32_t, 4>{out.w[0], out.w[1], out.w[2], out.w[3]};
      },
      py::arg("counter"), py::arg("key"), "Philox4x32-10 of a counter of 4 and a key of 2 words.");
  m.def(
      "random_bits",
      [](uint64_t seed, int64_t sequence, int64_t event, int64_t purpose, int64_t first, int64_t n) {
        return map_draws(
            "random_bits", seed, sequence, event, purpose, first, n, at::kLong,
            [](at::Tensor& t, int64_t i, uint64_t r) { t.data_ptr<int64_t>()[i] = static_cast<int64_t>(r); });
      },
      py::arg("seed"), py::arg("sequence"), py::arg("event"), py::arg("purpose"), py::arg("first"), py::arg("n"),
      "[n] int64: the bits of 64-bit draws first .. first + n - 1 of an address.");
  m.def(
      "gumbel",
      [](uint64_t seed, int64_t sequence, int64_t event, int64_t purpose, int64_t first, int64_t n) {
        return map_draws("gumbel", seed, sequence, event, purpose, first, n, at::kDouble,
                         [](at::Tensor& t, int64_t i, uint64_t r) { t.data_ptr<double>()[i] = gumbel(r); });
      },
      py::arg("seed"), py::arg("sequence"), py::arg("event"), py::arg("purpose"), py::arg("first"), py::arg("n"),
      "[n] float64: standard Gumbel noise of an address.");
  m.def(
      "gumbel_of_bits",
      [](const at::Tensor& bits) {
        const at::Tensor in = cpu_tensor("gumbel_of_bits", "bits", bits, at::kLong, 1);
        at::Tensor out = at::empty({in.numel()}, at::kDouble);
        for (int64_t i = 0; i < in.numel(); ++i)
          out.data_ptr<double>()[i] = gumbel(static_cast<uint64_t>(in.data_ptr<int64_t>()[i]));
        return out;
      },
      py::arg("bits"), "[n] float64: the Gumbel variate that each 64-bit draw [n] int64 stands for.");
  m.def(
      "uniform_integer",
      [](uint64_t n, uint64_t seed, int64_t sequence, int64_t event, int64_t purpose) {
        check(n > 0, "uniform_integer", "n must be at least 1, got ", n);
        check_address("uniform_integer", sequence, event, purpose, 0, 1);
        return uniform_integer(n, seed, sequence, static_cast<uint32_t>(event), static_cast<Purpose>(purpose));
      },
      py::arg("n"), py::arg("seed"), py::arg("sequence"), py::arg("event"), py::arg("purpose"),
      "Unbiased integer on 0 .. n - 1.");
  m.def(
      "next_masked_probability",
      [](double masked, int64_t n, uint64_t seed, int64_t sequence, int64_t event) {
        check_address("next_masked_probability", sequence, event, 1, 0, 1);
        check(n > 0, "next_masked_probability", "n must be at least 1, got ", n);
        return next_masked_probability(masked, n, seed, sequence, static_cast<uint32_t>(event));
      },
      py::arg("masked"), py::arg("n"), py::arg("seed"), py::arg("sequence"), py::arg("event"),
      "1 - alpha at the next unmasking among n masked tokens (Proposition 4.1).");
}

}  // namespace pymdm::binding
