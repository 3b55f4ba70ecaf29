// Binds the random stream as tensors, for tests, audits and samplers written in Python.
#include "binding/bind.h"
#include "binding/tensor.h"
#include "random/gumbel.h"
#include "schedule/hitting.h"
#include "schedule/position.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

constexpr int64_t kMostDraws = int64_t{1} << 28;

void check_address(const char* op, int64_t sequence, int64_t event, int64_t purpose, int64_t first, int64_t n) {
  check(sequence >= 0 && static_cast<uint64_t>(sequence) <= kMaxSequence, op, "sequence id must be in [0, 2^56), got ",
        sequence);
  check(event >= 0 && event < (int64_t{1} << 32), op, "event must be in [0, 2^32), got ", event);
  check(purpose >= 1 && purpose < 128, op, "purpose must be in 1..127, got ", purpose);
  const auto most = static_cast<int64_t>(kMaxIndex) + 1;
  check(first >= 0 && first <= most && n >= 0 && n <= most - first, op, "indices must be in [0, 2^34), got ", first,
        " and ", n, " from there");
  check(n <= kMostDraws, op, "expected at most 2^28 draws in one call, got ", n);
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
      "random_bits_at",
      [](uint64_t seed, const at::Tensor& sequence_in, const at::Tensor& event_in, int64_t purpose,
         const at::Tensor& index_in) {
        constexpr const char* kOp = "random_bits_at";
        const at::Tensor sequence = cpu_tensor(kOp, "sequence", sequence_in, at::kLong, 1);
        const at::Tensor event = cpu_tensor(kOp, "event", event_in, at::kLong, 1);
        const at::Tensor index = cpu_tensor(kOp, "index", index_in, at::kLong, 1);
        const int64_t n = sequence.numel();
        check(event.numel() == n && index.numel() == n, kOp, "expected ", n, " events and indices, got ", event.numel(),
              " and ", index.numel());
        at::Tensor out = at::empty({n}, at::kLong);
        for (int64_t i = 0; i < n; ++i) {
          const int64_t s = sequence.data_ptr<int64_t>()[i], e = event.data_ptr<int64_t>()[i];
          const int64_t j = index.data_ptr<int64_t>()[i];
          check_address(kOp, s, e, purpose, j, 1);
          out.data_ptr<int64_t>()[i] =
              static_cast<int64_t>(random_bits(seed, s, static_cast<uint32_t>(e), static_cast<Purpose>(purpose), j));
        }
        return out;
      },
      py::arg("seed"), py::arg("sequence"), py::arg("event"), py::arg("purpose"), py::arg("index"),
      "[n] int64: the bits of the 64-bit draws at n addresses.");
  const auto of_bits = [&m](const char* name, double (*f)(uint64_t), const char* doc) {
    m.def(
        name,
        [name, f](const at::Tensor& bits) {
          const at::Tensor in = cpu_tensor(name, "bits", bits, at::kLong, 1);
          at::Tensor out = at::empty({in.numel()}, at::kDouble);
          for (int64_t i = 0; i < in.numel(); ++i)
            out.data_ptr<double>()[i] = f(static_cast<uint64_t>(in.data_ptr<int64_t>()[i]));
          return out;
        },
        py::arg("bits"), doc);
  };
  of_bits("uniform_of_bits", uniform_lower, "[n] float64: the uniform that each 64-bit draw [n] int64 stands for.");
  of_bits("exponential_of_bits", exponential, "[n] float64: the exponential of each 64-bit draw.");
  of_bits("gumbel_of_bits", gumbel, "[n] float64: the Gumbel variate of each 64-bit draw.");
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
