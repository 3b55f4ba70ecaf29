// The loop for Python, and what the loop on the host shares with calls that a device replays
// (pymdm/sampling/device_run.py): checked options, the queue of sequences, the watch, and the claim on the state.
#include "binding/run.h"

#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "binding/bind.h"
#include "binding/callable.h"
#include "binding/engine.h"
#include "device/network.h"
#include "sample/queue.h"
#include "sample/run.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

constexpr const char* kOp = "sample";
using sample::Queue;
using sample::RunOptions;
using sample::Sampler;
using sample::State;
using Allowed = std::vector<std::pair<int64_t, std::vector<int64_t>>>;

RunOptions checked_options(int64_t batch_size, int64_t max_calls, double temperature, std::vector<int64_t> banned,
                           int64_t top_k, double top_p, int64_t drawable, Allowed allowed) {
  check(std::isfinite(temperature) && temperature >= 0, kOp, "temperature must be finite and at least 0, got ",
        temperature);
  check(top_k >= 0 && top_p > 0 && top_p <= 1, kOp, "top_k must be at least 0 and top_p in (0, 1], got ", top_k,
        " and ", top_p);
  RunOptions options;
  options.batch_size = batch_size;
  options.max_calls = max_calls;
  options.draw.temperature = temperature;
  options.draw.top_k = top_k;
  options.draw.top_p = top_p;
  options.banned = std::move(banned);
  options.drawable = drawable;
  for (auto& entry : allowed) std::sort(entry.second.begin(), entry.second.end());
  std::sort(allowed.begin(), allowed.end());
  options.allowed = std::move(allowed);
  return options;
}

at::Tensor never_drawn(const RunOptions& options, int64_t mask_id, int64_t vocab) {
  check(mask_id >= 0 && vocab >= 0 && vocab <= int64_t{1} << 28, kOp,
        "a mask id is at least 0, a vocabulary at most 2^28, got ", mask_id, " and ", vocab);
  return tensor_of(sample::never_drawn(options, mask_id, vocab), at::kBool);
}

// A user's function, called at most every `interval` seconds and with the first call; signals are looked at every 50
// ms.
class PythonWatch {
 public:
  PythonWatch(py::object function, double interval) : function_(std::move(function)), interval_(interval) {
    check(function_.is_none() || PyCallable_Check(function_.ptr()), kOp, "watch must be a function");
  }

  // Without the GIL, between two steps.
  void operator()(const State& state) {
    if (const auto now = Clock::now(); seconds(now, last_signal_) >= 0.05) {
      last_signal_ = now;
      py::gil_scoped_acquire gil;
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    }
    if (!due()) return;
    py::gil_scoped_acquire gil;
    show(py::cast(&state, py::return_value_policy::reference));
  }

  bool due() const { return !function_.is_none() && (!shown_ || seconds(Clock::now(), last_call_) >= interval_); }
  void show(const py::object& state) {
    shown_ = true;
    last_call_ = Clock::now();
    function_(state);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double seconds(Clock::time_point a, Clock::time_point b) {
    return std::chrono::duration<double>(a - b).count();
  }

  py::object function_;
  double interval_;
  bool shown_ = false;
  Clock::time_point last_signal_{}, last_call_{};
};

void run(State& state, const std::shared_ptr<Sampler>& sampler, const py::object& network, const RunOptions& options,
         PythonWatch* watch) {
  const Claim claim(state);
  PythonWatch none(py::none(), 0.0);
  std::shared_ptr<sample::Network> net;
  if (py::isinstance<Engine>(network)) {
    const auto engine = network.cast<std::shared_ptr<Engine>>();
    if (engine->network().config().attention == model::Attention::kBidirectional)
      net = engine;
    else
      net = std::make_shared<KeptRun>(engine);
  } else if (py::isinstance<device::Network>(network))
    net = std::make_shared<device::Run>(network.cast<std::shared_ptr<device::Network>>());
  else
    net = std::make_shared<CallableNetwork>(network);
  py::gil_scoped_release release;
  sample::run(state, *sampler, *net, options, std::ref(watch == nullptr ? none : *watch));
}

std::vector<int64_t> next(Queue& queue, const std::vector<bool>& finished) {
  check(static_cast<int64_t>(finished.size()) == queue.sequences(), kOp, "expected ", queue.sequences(),
        " entries of finished, got ", finished.size());
  return queue.next([&](int64_t b) { return finished[b]; });
}

}  // namespace

void bind_run(py::module_& m) {
  // Methods take references: a pointer to a member would be called with None for an object.
  py::class_<Queue>(m, "Queue", "Which sequences are in a network call: the batching rule of every run.")
      .def("next", &next, py::arg("finished"),
           "The sequences of the next call, given of each whether it needs no further one.")
      .def(
          "spend",
          [](Queue& queue, int64_t calls) {
            check(calls >= 0 && calls <= queue.calls_left(), kOp, "calls must be in [0, ", queue.calls_left(),
                  "], got ", calls);
            queue.spend(calls);
          },
          py::arg("calls"), "Takes calls off those that are left.")
      .def_property_readonly("calls_left", [](const Queue& queue) { return queue.calls_left(); })
      .def_property_readonly(
          "waits", [](const Queue& queue) { return queue.waits(); },
          "Whether an unfinished sequence waits for a slot.");

  py::class_<RunOptions>(m, "RunOptions", "How a run goes and how tokens are drawn; see csrc/sample/run.h.")
      .def(py::init(&checked_options), py::arg("batch_size") = 0, py::arg("max_calls") = 0,
           py::arg("temperature") = 1.0, py::arg("banned") = std::vector<int64_t>{}, py::arg("top_k") = 0,
           py::arg("top_p") = 1.0, py::arg("drawable") = 0, py::arg("allowed") = Allowed{})
      .def_property_readonly("temperature", [](const RunOptions& o) { return o.draw.temperature; })
      .def("never_drawn", &never_drawn, py::arg("mask_id"), py::arg("vocab"),
           "[V] bool: the mask, ids beyond the tokenizer, and what is banned.")
      .def(
          "queue",
          [](const RunOptions& options, int64_t sequences) {
            check(sequences >= 0, kOp, "sequences must be at least 0, got ", sequences);
            return Queue(sequences, options.batch_size, options.max_calls);
          },
          py::arg("sequences"), "The sequences of a state, none of which has been in a call.");

  py::class_<PythonWatch>(m, "Watch", "Calls a function with the state, at most every `interval` seconds.")
      .def(py::init<py::object, double>(), py::arg("function"), py::arg("interval") = 0.0)
      .def(
          "due", [](const PythonWatch& watch) { return watch.due(); }, "Whether the function is to be called now.")
      .def(
          "show", [](PythonWatch& watch, const py::object& state) { watch.show(state); }, py::arg("state"),
          "Calls the function.");

  py::class_<Claim>(m, "Claim", "Holds a state for one run, in a `with` block.")
      .def(py::init<const State&>(), py::arg("state"), py::keep_alive<1, 2>())
      .def("__enter__", [](py::object self) { return self; })
      .def("__exit__", [](Claim& claim, const py::args&) { claim.release(); });

  m.def("run", &run, py::arg("state"), py::arg("sampler").none(false), py::arg("network").none(false),
        py::arg_v("options", RunOptions{}, "RunOptions()"), py::arg("watch") = py::none(),
        "Continues a state to its end, or for max_calls network calls.");
}

}  // namespace pymdm::binding
