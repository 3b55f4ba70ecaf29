// Schedules, samplers, the state and the loop, for Python.
#include <ATen/ATen.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "binding/bind.h"
#include "binding/callable.h"
#include "binding/engine.h"
#include "binding/position_score.h"
#include "device/network.h"
#include "sample/ancestral.h"
#include "sample/confidence.h"
#include "sample/corrected.h"
#include "sample/extrapolated.h"
#include "sample/first_hitting.h"
#include "sample/literal.h"
#include "sample/remask.h"
#include "sample/run.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

constexpr const char* kOp = "sample";
using sample::Sampler;
using sample::State;
using ScheduleRef = std::shared_ptr<Schedule>;
using SamplerRef = std::shared_ptr<Sampler>;

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

// A state is changed by one run at a time; a watch or another thread that asks for more is refused. Under the GIL.
class InUse {
 public:
  explicit InUse(const State& state) : state_(&state) {
    check(states().insert(state_).second, kOp, "this state is being sampled already");
  }
  ~InUse() { states().erase(state_); }
  InUse(const InUse&) = delete;

 private:
  static std::set<const State*>& states() {
    static std::set<const State*> all;
    return all;
  }
  const State* state_;
};

using Allowed = std::vector<std::pair<int64_t, std::vector<int64_t>>>;

void run(State& state, const SamplerRef& sampler, const py::object& network, int64_t batch_size, int64_t max_calls,
         double temperature, std::vector<int64_t> banned, int64_t top_k, double top_p, const py::object& watch,
         double watch_interval, int64_t drawable, Allowed allowed) {
  check(std::isfinite(temperature) && temperature >= 0, kOp, "temperature must be finite and at least 0, got ",
        temperature);
  check(top_k >= 0 && top_p > 0 && top_p <= 1, kOp, "top_k must be at least 0 and top_p in (0, 1], got ", top_k,
        " and ", top_p);
  check(watch.is_none() || PyCallable_Check(watch.ptr()), kOp, "watch must be a function");
  const InUse guard(state);
  sample::RunOptions options;
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
  PythonWatch python_watch(watch, watch_interval);
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
  sample::run(state, *sampler, *net, options, std::ref(python_watch));
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

// Time grids of the ancestral forms: t_0 = 1 > ... > t_N = 0, and m at each. The process starts all masked and ends
// with no mask, whatever the schedule says of its ends.
void grid_of(const std::vector<double>& times, const Schedule& schedule, std::vector<double>& masked) {
  check(times.size() >= 2 && times.front() == 1.0 && times.back() == 0.0, kOp,
        "a time grid must run from 1 to 0 in at least one step");
  for (const double t : times) masked.push_back(schedule.masked(t));
  masked.front() = 1.0, masked.back() = 0.0;
  for (size_t i = 0; i + 1 < times.size(); ++i)
    check(times[i] > times[i + 1] && masked[i] > masked[i + 1], kOp, "a time grid must decrease, got ", times[i],
          " then ", times[i + 1]);
}

std::vector<int64_t> checked_counts(std::vector<int64_t> tokens_per_call) {
  check(!tokens_per_call.empty(), kOp, "tokens_per_call must not be empty");
  for (const int64_t k : tokens_per_call)
    check(k >= 1 && k <= int64_t{1} << 62, kOp, "tokens_per_call must be in [1, 2^62], got ", k);
  return tokens_per_call;
}

sample::Ahead checked_ahead(int64_t window, double mark, bool timed) {
  check(window >= 1 && window <= 1024, kOp, "lookahead must be in 1..1024, got ", window);
  check(mark >= 0 && mark < 1, kOp, "a mark of lookahead must be in (0, 1), got ", mark);
  return {window, mark, timed};
}

// pybind11 makes an enumeration's value of any number.
ops::Noise checked(ops::Noise noise) {
  check(noise >= ops::Noise::kExact && noise <= ops::Noise::kTruncated, kOp, "unknown noise ", static_cast<int>(noise));
  return noise;
}
sample::Rule checked(sample::Rule rule) {
  check(rule >= sample::Rule::kProbability && rule <= sample::Rule::kDrawn, kOp, "unknown rule ",
        static_cast<int>(rule));
  return rule;
}

template <class Kind>
void bind_first_hitting(py::module_& m, const char* name) {
  m.def(
      name,
      [](ScheduleRef schedule, std::vector<int64_t> tokens_per_call) {
        return SamplerRef(std::make_shared<Kind>(std::move(schedule), checked_counts(std::move(tokens_per_call))));
      },
      py::arg("schedule").none(false), py::arg("tokens_per_call"));
}

// Levels 1 = m_0 >= ... >= m_N = 0 and a probability of masking again for every step, at most min(1, s / (1 - m)).
SamplerRef make_remask(std::vector<double> levels, std::vector<double> sigma, const ScheduleRef& schedule,
                       bool confident, int64_t window, double mark, bool timed, py::object score) {
  check(levels.size() >= 2 && levels.front() == 1.0 && levels.back() == 0.0 && sigma.size() + 1 == levels.size(), kOp,
        "expected levels from 1 to 0 and one sigma a step, got ", levels.size(), " levels and ", sigma.size(),
        " sigmas");
  std::vector<double> times;
  for (size_t i = 0; i + 1 < levels.size(); ++i) {
    const double m = levels[i], s = levels[i + 1];
    check(m >= s, kOp, "levels must not increase, got ", m, " then ", s);
    check(sigma[i] >= 0 && sigma[i] <= 1 && sigma[i] * (1 - m) <= s * (1 + 1e-12), kOp,
          "sigma must be in [0, min(1, s / (1 - m))], got ", sigma[i], " from level ", m, " to ", s);
    times.push_back(i == 0 ? 1.0 : schedule->time_of_masked(m));
  }
  times.push_back(0.0);
  return std::make_shared<sample::Remask>(std::move(times), std::move(levels), std::move(sigma), confident,
                                          checked_ahead(window, mark, timed), position_score(std::move(score)));
}

void bind_samplers(py::module_& m) {
  m.def(
      "first_hitting",
      [](ScheduleRef schedule, std::vector<int64_t> tokens_per_call, ops::Noise noise, int64_t window, double mark,
         bool timed, int64_t block) {
        check(block >= 0, kOp, "block must be at least 0, got ", block);
        return SamplerRef(
            std::make_shared<sample::FirstHitting>(std::move(schedule), checked_counts(std::move(tokens_per_call)),
                                                   checked_ahead(window, mark, timed), checked(noise), block));
      },
      py::arg("schedule").none(false), py::arg("tokens_per_call"), py::arg("noise") = ops::Noise::kExact,
      py::arg("window") = 1, py::arg("mark") = 0.0, py::arg("timed") = false, py::arg("block") = 0);
  bind_first_hitting<sample::Extrapolated>(m, "extrapolated");
  bind_first_hitting<sample::Corrected>(m, "corrected");
  m.def(
      "ancestral",
      [](std::vector<double> times, ScheduleRef schedule, bool cache, int64_t window, double mark, bool timed) {
        std::vector<double> masked;
        grid_of(times, *schedule, masked);
        return SamplerRef(std::make_shared<sample::Ancestral>(std::move(times), std::move(masked), cache,
                                                              checked_ahead(window, mark, timed)));
      },
      py::arg("times"), py::arg("schedule").none(false), py::arg("cache") = true, py::arg("window") = 1,
      py::arg("mark") = 0.0, py::arg("timed") = false);
  m.def(
      "literal",
      [](std::vector<double> times, ScheduleRef schedule, bool cache, ops::Noise noise) {
        std::vector<double> masked;
        grid_of(times, *schedule, masked);
        return SamplerRef(
            std::make_shared<sample::Literal>(std::move(times), std::move(masked), cache, checked(noise)));
      },
      py::arg("times"), py::arg("schedule").none(false), py::arg("cache"), py::arg("noise"));
  m.def("remask", &make_remask, py::arg("levels"), py::arg("sigma"), py::arg("schedule").none(false),
        py::arg("confident"), py::arg("window") = 1, py::arg("mark") = 0.0, py::arg("timed") = false,
        py::arg("score") = py::none());
  m.def(
      "confidence",
      [](sample::Rule rule, std::vector<int64_t> tokens_per_call, double threshold, int64_t block, double bound,
         py::object score, bool proposals) {
        check(block >= 0, kOp, "block must be at least 0, got ", block);
        return SamplerRef(std::make_shared<sample::Confidence>(sample::ConfidenceOptions{
            score.is_none() ? checked(rule) : sample::Rule::kScore, checked_counts(std::move(tokens_per_call)),
            threshold, block, bound, position_score(score), proposals}));
      },
      py::arg("rule"), py::arg("tokens_per_call"), py::arg("threshold"), py::arg("block"), py::arg("bound"),
      py::arg("score") = py::none(), py::arg("proposals") = false);
}

}  // namespace

void bind_sample(py::module_& m) {
  py::class_<Schedule, ScheduleRef>(m, "Schedule", "Noise schedule through m(t) = 1 - alpha(t).")
      .def(
          "masked", [](const Schedule& s, double time) { return s.masked(time); }, py::arg("time"))
      .def(
          "time_of_masked", [](const Schedule& s, double masked) { return s.time_of_masked(masked); },
          py::arg("masked"));
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

  py::enum_<sample::Rule>(m, "Rule", "How sure a network is of a position; see csrc/sample/confidence.h.")
      .value("probability", sample::Rule::kProbability)
      .value("margin", sample::Rule::kMargin)
      .value("entropy", sample::Rule::kEntropy)
      .value("random", sample::Rule::kRandom)
      .value("maskgit_plus", sample::Rule::kDrawn);
  py::class_<Sampler, SamplerRef>(m, "Sampler")
      .def(
          "init",
          [](const Sampler& sampler, State& state) {
            const InUse guard(state);
            sampler.init(state);
          },
          py::arg("state"), "Brings a state to the start of the process.");
  bind_samplers(m);
  m.def("run", &run, py::arg("state"), py::arg("sampler").none(false), py::arg("network").none(false),
        py::arg("batch_size") = 0, py::arg("max_calls") = 0, py::arg("temperature") = 1.0,
        py::arg("banned") = std::vector<int64_t>{}, py::arg("top_k") = 0, py::arg("top_p") = 1.0,
        py::arg("watch") = py::none(), py::arg("watch_interval") = 0.0, py::arg("drawable") = 0,
        py::arg("allowed") = Allowed{}, "Continues a state to its end, or for max_calls network calls.");
}

}  // namespace pymdm::binding
