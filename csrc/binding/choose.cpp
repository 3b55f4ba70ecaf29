#include "binding/choose.h"

#include <pybind11/stl.h>

#include <algorithm>

#include "binding/bind.h"
#include "device/choose.h"
#include "ops/choose_emulated.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

constexpr const char* kOp = "choose";

}  // namespace

ChooseCall::ChooseCall(const at::Tensor& logits_in, uint64_t seed, const at::Tensor& sequence_in,
                       const at::Tensor& event_in, const std::optional<at::Tensor>& base_in, int64_t purpose,
                       double temperature, const std::optional<at::Tensor>& banned_in, int64_t top_k, double top_p,
                       const AllowedIds& allowed) {
  check(logits_in.dim() == 2 && logits_in.size(1) > 0, kOp, "logits must be [M, V] with V at least 1, got ",
        shape_of(logits_in));
  check(logits_in.device().is_cpu() || logits_in.device().is_cuda(), kOp, "logits must be on cpu or cuda, got ",
        shape_of(logits_in));
  check(temperature >= 0 && std::isfinite(temperature), kOp, "temperature must be finite and at least 0, got ",
        temperature);
  check(temperature == 0 || std::isfinite(1 / temperature), kOp, "temperature must be 0 or have a finite inverse, got ",
        temperature);
  check(top_k >= 0, kOp, "top_k must be at least 0, got ", top_k);
  check(top_p > 0 && top_p <= 1, kOp, "top_p must be in (0, 1], got ", top_p);
  check(purpose >= 1 && purpose < 128, kOp, "purpose must be in 1..127, got ", purpose);
  logits = logits_in.stride(1) == 1 ? logits_in : logits_in.contiguous();
  const int64_t rows = logits.size(0), vocab = logits.size(1);
  sequence = cpu_tensor(kOp, "sequence ids", sequence_in, at::kLong, 1);
  const at::Tensor event = cpu_tensor(kOp, "events", event_in, at::kLong, 1);
  check(sequence.numel() == rows && event.numel() == rows, kOp, "expected ", rows, " sequence ids and events, got ",
        sequence.numel(), " and ", event.numel());
  base = base_in ? cpu_tensor(kOp, "base", *base_in, at::kLong, 1) : at::Tensor();
  check(!base_in || base.numel() == rows, kOp, "expected ", rows, " bases, got ", base_in ? base.numel() : 0);
  events = at::empty({rows}, at::kInt);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t s = sequence.data_ptr<int64_t>()[i], e = event.data_ptr<int64_t>()[i];
    const int64_t first = base_in ? base.data_ptr<int64_t>()[i] : 0;
    check(s >= 0 && static_cast<uint64_t>(s) <= kMaxSequence, kOp, "sequence id must be in [0, 2^56), got ", s);
    check(e >= 0 && e < (int64_t{1} << 32), kOp, "event must be in [0, 2^32), got ", e);
    check(first >= 0 && first % 4 == 0 && first <= static_cast<int64_t>(kMaxIndex) + 1 - vocab, kOp,
          "base must be a multiple of 4 with base + V at most 2^34, got ", first);
    events.data_ptr<int32_t>()[i] = static_cast<int32_t>(static_cast<uint32_t>(e));
  }
  if (banned_in) {
    banned = cpu_tensor(kOp, "banned", *banned_in, at::kBool, 1);
    check(banned.numel() == vocab, kOp, "banned must have V = ", vocab, " entries, got ", banned.numel());
  }
  if (allowed) {
    check(static_cast<int64_t>(allowed->size()) == rows, kOp, "expected allowed tokens of ", rows, " rows, got ",
          allowed->size());
    ids.resize(rows), sets.resize(rows);
    for (int64_t row = 0; row < rows; ++row) {
      if (!(*allowed)[row]) continue;
      ids[row] = *(*allowed)[row];
      check(!ids[row].empty(), kOp, "row ", row, " allows no token");
      std::sort(ids[row].begin(), ids[row].end());
      check(ids[row].front() >= 0 && ids[row].back() < vocab, kOp, "allowed tokens must be in [0, ", vocab, "), got ",
            ids[row].front() < 0 ? ids[row].front() : ids[row].back(), " in row ", row);
      sets[row] = {ids[row].data(), static_cast<int64_t>(ids[row].size())};
    }
    args.allowed = sets.data();
  }
  args.dtype = logits_dtype(kOp, logits);
  args.rows = rows;
  args.vocab = vocab;
  args.row_stride = rows > 1 ? logits.stride(0) : vocab;
  args.seed = seed;
  args.purpose = static_cast<Purpose>(purpose);
  args.temperature = temperature;
  args.top_k = top_k;
  args.top_p = top_p;

  token = at::empty({rows}, at::kLong);
  args.logits = logits.data_ptr();
  args.sequence = reinterpret_cast<const uint64_t*>(sequence.data_ptr<int64_t>());
  args.event = reinterpret_cast<const uint32_t*>(events.data_ptr<int32_t>());
  args.base = base_in ? reinterpret_cast<const uint64_t*>(base.data_ptr<int64_t>()) : nullptr;
  args.banned = banned_in ? reinterpret_cast<const uint8_t*>(banned.data_ptr<bool>()) : nullptr;
  args.token = token.data_ptr<int64_t>();
}

namespace {

at::Tensor choose(const at::Tensor& logits, uint64_t seed, const at::Tensor& sequence, const at::Tensor& event,
                  const std::optional<at::Tensor>& base, int64_t purpose, double temperature,
                  const std::optional<at::Tensor>& banned, int64_t top_k, double top_p, const AllowedIds& allowed) {
  const ChooseCall call(logits, seed, sequence, event, base, purpose, temperature, banned, top_k, top_p, allowed);
  const bool on_cpu = logits.device().is_cpu();
  check(on_cpu || (top_k == 0 && top_p == 1), kOp, "top_k and top_p are not available on cuda");
  py::gil_scoped_release release;
  if (on_cpu)
    ops::choose(call.args);
  else
    device::choose(call.logits, call.args);
  return on_cpu ? call.token : call.token.to(logits.device());
}

}  // namespace

void bind_choose_emulated(py::module_& m) {
  m.def(
      "choose_emulated",
      [](const at::Tensor& logits_in, uint64_t seed, const at::Tensor& sequence_in, const at::Tensor& event_in,
         ops::Noise noise) {
        const at::Tensor logits = cpu_tensor(kOp, "logits", logits_in, at::kDouble, 2);
        const at::Tensor sequence = cpu_tensor(kOp, "sequence ids", sequence_in, at::kLong, 1);
        const at::Tensor event = cpu_tensor(kOp, "events", event_in, at::kLong, 1).to(at::kInt);
        const int64_t rows = logits.size(0), vocab = logits.size(1);
        check(noise >= ops::Noise::kExact && noise <= ops::Noise::kTruncated, kOp, "unknown noise ",
              static_cast<int>(noise));
        check(vocab > 0 && sequence.numel() == rows && event.numel() == rows, kOp, "expected ", rows,
              " sequence ids and events, got ", sequence.numel(), " and ", event.numel());
        at::Tensor token = at::empty({rows}, at::kLong);
        ops::ChooseArgs args;
        args.logits = logits.data_ptr();
        args.dtype = DType::kFloat64;
        args.rows = rows;
        args.vocab = args.row_stride = vocab;
        args.seed = seed;
        args.purpose = Purpose::kLiteral;
        args.sequence = reinterpret_cast<const uint64_t*>(sequence.data_ptr<int64_t>());
        args.event = reinterpret_cast<const uint32_t*>(event.data_ptr<int32_t>());
        args.token = token.data_ptr<int64_t>();
        ops::choose_emulated(args, noise);
        return token;
      },
      py::arg("logits"), py::arg("seed"), py::arg("sequence"), py::arg("event"), py::arg("noise"),
      "[M] int64 classes of the literal form for logits [M, V] float64, with a kind of "
      "noise.");
}

void bind_choose(py::module_& m) {
  py::enum_<ops::Noise>(m, "Noise", "How a Gumbel variate is made; see csrc/ops/choose_emulated.h.")
      .value("exact", ops::Noise::kExact)
      .value("float32", ops::Noise::kFloat32)
      .value("float64", ops::Noise::kFloat64)
      .value("truncated", ops::Noise::kTruncated);
  m.def("choose", &choose, py::arg("logits"), py::arg("seed"), py::arg("sequence"), py::arg("event"),
        py::arg("base") = std::nullopt, py::arg("purpose") = 3, py::arg("temperature") = 1.0,
        py::arg("banned") = std::nullopt, py::arg("top_k") = 0, py::arg("top_p") = 1.0,
        py::arg("allowed") = std::nullopt, "[M] int64 tokens for logits [M, V] by exact Gumbel-max.");
}

}  // namespace pymdm::binding
