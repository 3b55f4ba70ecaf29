// A sampler whose plan, and if it likes its write, are Python functions. It runs in the same loop as the compiled ones.
#include <torch/csrc/utils/pybind.h>

#include "binding/bind.h"
#include "binding/tensor.h"
#include "sample/draw.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

constexpr const char* kOp = "sample";
using sample::Logits;
using sample::Options;
using sample::Plan;
using sample::State;

// What a plan function gives back, checked by pymdm/sampling/samplers/custom.py: (positions, time, m after the step,
// next event). Row j of a step at event e draws at event e + j.
class PythonSampler final : public sample::Sampler {
 public:
  PythonSampler(py::object init, py::object plan, py::object write)
      : init_(std::move(init)), plan_(std::move(plan)), write_(std::move(write)) {}

  void init(State& state) const override {
    Sampler::init(state);
    const py::gil_scoped_acquire gil;
    for (int64_t b = 0; b < state.size(); ++b) init_(view(state, b));
  }

  void plan(const State& state, int64_t b, Plan& plan) const override {
    const py::gil_scoped_acquire gil;
    const auto [positions, time, masked, next] =
        plan_(view(state, b)).cast<std::tuple<std::vector<int64_t>, double, double, int64_t>>();
    const int64_t length = state.offsets[b + 1] - state.offsets[b];
    for (size_t j = 0; j < positions.size(); ++j) {
      check(positions[j] >= 0 && positions[j] < length, kOp, "a plan's position must be in [0, ", length, "), got ",
            positions[j]);
      check(state.tokens[state.offsets[b] + positions[j]] == state.mask_id, kOp,
            "a plan's position must be masked, got ", positions[j]);
      plan.add_row(positions[j], state.event[b] + static_cast<int64_t>(j), time);
    }
    check(next > state.event[b] && next < (int64_t{1} << 32), kOp, "a plan's next event must be above ", state.event[b],
          " and below 2^32, got ", next);
    plan.add_sequence(b, true, time, masked, next);
  }

  void write(State& state, const Plan& plan, const Logits& logits, const Options& options) const override {
    const std::vector<int64_t> tokens =
        write_.is_none() ? drawn(state, plan, logits, options) : chosen(state, plan, logits, options);
    for (int64_t i = 0; i < plan.size(); ++i)
      for (int64_t r = plan.row_begin[i]; r < plan.row_begin[i + 1]; ++r)
        if (tokens[r] >= 0) unmask(state, plan.sequences[i], plan.positions[r], tokens[r], plan.row_times[r]);
  }

 private:
  // (sequence id, tokens [L] int64, event, m, seed, mask)
  static py::tuple view(const State& state, int64_t b) {
    const std::vector<int64_t> tokens(state.tokens.begin() + state.offsets[b],
                                      state.tokens.begin() + state.offsets[b + 1]);
    return py::make_tuple(state.sequence[b], tensor_of(tokens, at::kLong), state.event[b], state.masked[b], state.seed,
                          state.mask_id);
  }

  static std::vector<int64_t> drawn(State& state, const Plan& plan, const Logits& logits, const Options& options) {
    return draw(state, addresses(state, plan, false, logits.vocab), logits, options, Purpose::kToken);
  }

  // The write function gets [M] sequence ids, events and positions and log mu [M, V]; -1 leaves a position masked.
  std::vector<int64_t> chosen(State& state, const Plan& plan, const Logits& logits, const Options& options) const {
    const int64_t rows = plan.rows();
    at::Tensor log_mu = at::empty({rows, logits.vocab}, at::kDouble);
    for (int64_t r = 0; r < rows; ++r)
      log_probabilities(logits, r, options, log_mu.data_ptr<double>() + r * logits.vocab);
    const sample::Addresses at = addresses(state, plan, false, logits.vocab);
    state.draws += rows;
    const py::gil_scoped_acquire gil;
    const py::object answer = write_(state.seed, tensor_of(at.sequence, at::kLong),
                                     tensor_of(std::vector<int64_t>(at.event.begin(), at.event.end()), at::kLong),
                                     tensor_of(plan.positions, at::kLong), log_mu);
    const at::Tensor tokens = cpu_tensor(kOp, "a sampler's tokens", answer.cast<at::Tensor>(), at::kLong, 1);
    check(tokens.numel() == rows, kOp, "a sampler's write must give ", rows, " tokens, got ", tokens.numel());
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t token = tokens.data_ptr<int64_t>()[r];
      check(token >= -1 && token < logits.vocab && token != state.mask_id, kOp,
            "a sampler's tokens must be -1 or in [0, ", logits.vocab, ") and not the mask, got ", token);
      check(token < 0 || log_mu.data_ptr<double>()[r * logits.vocab + token] > -INFINITY, kOp, "a sampler chose token ",
            token, ", which is banned or has probability 0");
    }
    return vector_of<int64_t>(tokens);
  }

  py::object init_, plan_, write_;
};

}  // namespace

void bind_python_sampler(py::module_& m) {
  m.def(
      "python_sampler",
      [](py::typing::Callable<py::object(py::ellipsis)> init, py::typing::Callable<py::object(py::ellipsis)> plan,
         py::object write) {
        return std::shared_ptr<sample::Sampler>(
            std::make_shared<PythonSampler>(std::move(init), std::move(plan), std::move(write)));
      },
      py::arg("init").none(false), py::arg("plan").none(false), py::arg("write"),
      "A sampler of Python functions; see pymdm.CustomSampler.");
}

}  // namespace pymdm::binding
