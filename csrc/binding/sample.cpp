// Schedules, samplers, the state and the loop, for Python.
#include <ATen/ATen.h>
#include <torch/csrc/utils/pybind.h>

#include <chrono>

#include "binding/bind.h"
#include "binding/callable.h"
#include "binding/engine.h"
#include "random/address.h"
#include "sample/first_hitting.h"
#include "sample/run.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

constexpr const char* kOp = "sample";
using sample::Sampler;
using sample::State;
using ScheduleRef = std::shared_ptr<Schedule>;
using SamplerRef = std::shared_ptr<Sampler>;

State make_state(const at::Tensor& tokens, const at::Tensor& offsets, const at::Tensor& sequence, int64_t mask_id,
                 uint64_t seed) {
  State state;
  state.tokens = vector_of<int64_t>(cpu_tensor(kOp, "tokens", tokens, at::kLong, 1));
  state.offsets = vector_of<int64_t>(cpu_tensor(kOp, "offsets", offsets, at::kLong, 1));
  state.sequence = vector_of<uint64_t>(cpu_tensor(kOp, "sequence ids", sequence, at::kLong, 1));
  state.mask_id = mask_id;
  state.seed = seed;
  check(state.offsets.size() == state.sequence.size() + 1, kOp, "expected one offset more than sequence ids, got ",
        state.offsets.size(), " and ", state.sequence.size());
  check(state.offsets.front() == 0 && state.offsets.back() == static_cast<int64_t>(state.tokens.size()), kOp,
        "offsets must run from 0 to the ", state.tokens.size(), " tokens");
  for (size_t b = 0; b < state.sequence.size(); ++b) {
    check(state.offsets[b] < state.offsets[b + 1], kOp, "sequence ", b, " is empty");
    check(state.sequence[b] <= kMaxSequence, kOp, "sequence id must be in [0, 2^56), got ",
          static_cast<int64_t>(state.sequence[b]));
  }
  for (const int64_t token : state.tokens) check(token >= 0, kOp, "token ids must be at least 0, got ", token);
  return state;
}

// Calls back into Python between steps: signals at most every 50 ms, the user's function at its own interval.
class PythonWatch {
 public:
  PythonWatch(py::object callback, double interval) : callback_(std::move(callback)), interval_(interval) {}

  void operator()(const State& state) {
    const auto now = std::chrono::steady_clock::now();
    if (seconds(now, last_signal_) >= 0.05) {
      last_signal_ = now;
      py::gil_scoped_acquire gil;
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    }
    if (callback_.is_none() || seconds(now, last_call_) < interval_) return;
    last_call_ = now;
    py::gil_scoped_acquire gil;
    callback_(py::cast(&state, py::return_value_policy::reference));
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double seconds(Clock::time_point a, Clock::time_point b) {
    return std::chrono::duration<double>(a - b).count();
  }

  py::object callback_;
  double interval_;
  Clock::time_point last_signal_{}, last_call_{};
};

void run(State& state, const SamplerRef& sampler, const py::object& network, int64_t batch_size, int64_t max_calls,
         double temperature, std::optional<at::Tensor> banned, int64_t top_k, double top_p, const py::object& watch,
         double watch_interval) {
  sample::RunOptions options;
  options.batch_size = batch_size;
  options.max_calls = max_calls;
  options.draw.temperature = temperature;
  options.draw.top_k = top_k;
  options.draw.top_p = top_p;
  if (banned) options.draw.banned = vector_of<uint8_t>(cpu_tensor(kOp, "banned", *banned, at::kByte, 1));
  PythonWatch python_watch(watch, watch_interval);
  std::shared_ptr<sample::Network> net;
  if (py::isinstance<Engine>(network))
    net = network.cast<std::shared_ptr<Engine>>();
  else
    net = std::make_shared<CallableNetwork>(network);
  py::gil_scoped_release release;
  sample::run(state, *sampler, *net, options, std::ref(python_watch));
}

template <class T>
auto list_property(std::vector<T> State::* field, at::ScalarType dtype) {
  return [field, dtype](const State& s) { return tensor_of(s.*field, dtype); };
}

// A user's schedule: two Python functions, called with the GIL.
std::function<double(double)> python_function(py::object f) {
  auto held = std::shared_ptr<py::object>(new py::object(std::move(f)), [](py::object* o) {
    py::gil_scoped_acquire gil;
    delete o;
  });
  return [held](double x) {
    py::gil_scoped_acquire gil;
    return (*held)(x).cast<double>();
  };
}

void bind_state(py::module_& m) {
  py::class_<State>(m, "State", "What a sampling run remembers between two steps: plain data.")
      .def(py::init(&make_state), py::arg("tokens"), py::arg("offsets"), py::arg("sequence"), py::arg("mask_id"),
           py::arg("seed"))
      .def_property_readonly("tokens", list_property(&State::tokens, at::kLong))
      .def_property_readonly("offsets", list_property(&State::offsets, at::kLong))
      .def_property_readonly("times", list_property(&State::times, at::kDouble))
      .def_property_readonly("order", list_property(&State::order, at::kLong))
      .def_property_readonly("remaining", list_property(&State::remaining, at::kLong))
      .def_property_readonly("nfe", list_property(&State::nfe, at::kLong))
      .def_property_readonly("sequence", list_property(&State::sequence, at::kLong))
      .def_readonly("mask_id", &State::mask_id)
      .def_readonly("seed", &State::seed)
      .def_readonly("calls", &State::calls)
      .def_readonly("draws", &State::draws);
}

}  // namespace

void bind_sample(py::module_& m) {
  py::class_<Schedule, ScheduleRef>(m, "Schedule", "Noise schedule through m(t) = 1 - alpha(t).")
      .def("masked", &Schedule::masked, py::arg("time"))
      .def("time_of_masked", &Schedule::time_of_masked, py::arg("masked"));
  m.def("linear_schedule", [] { return ScheduleRef(linear_schedule()); });
  m.def("cosine_schedule", [] { return ScheduleRef(cosine_schedule()); });
  m.def(
      "geometric_schedule",
      [](double sigma_min, double sigma_max) { return ScheduleRef(geometric_schedule(sigma_min, sigma_max)); },
      py::arg("sigma_min"), py::arg("sigma_max"));
  m.def(
      "user_schedule",
      [](py::object masked, py::object inverse) {
        return ScheduleRef(user_schedule(python_function(std::move(masked)), python_function(std::move(inverse))));
      },
      py::arg("masked"), py::arg("time_of_masked"));

  bind_state(m);
  py::class_<Sampler, SamplerRef>(m, "Sampler").def("init", &Sampler::init, py::arg("state"));
  m.def(
      "first_hitting",
      [](ScheduleRef schedule, int64_t tokens_per_call) {
        check(tokens_per_call >= 1, kOp, "tokens_per_call must be at least 1, got ", tokens_per_call);
        return SamplerRef(std::make_shared<sample::FirstHitting>(std::move(schedule), tokens_per_call));
      },
      py::arg("schedule"), py::arg("tokens_per_call") = 1);
  m.def("run", &run, py::arg("state"), py::arg("sampler"), py::arg("network"), py::arg("batch_size") = 0,
        py::arg("max_calls") = 0, py::arg("temperature") = 1.0, py::arg("banned") = std::nullopt, py::arg("top_k") = 0,
        py::arg("top_p") = 1.0, py::arg("watch") = py::none(), py::arg("watch_interval") = 0.0,
        "Continues a state to its end, or for max_calls network calls.");
}

}  // namespace pymdm::binding
