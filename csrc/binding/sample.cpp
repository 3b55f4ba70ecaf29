// Binds schedules and samplers.
#include <ATen/ATen.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include "binding/bind.h"
#include "binding/position_score.h"
#include "binding/run.h"
#include "sample/ancestral.h"
#include "sample/confidence.h"
#include "sample/first_hitting.h"
#include "sample/literal.h"
#include "sample/remask.h"
#include "sample/second_order.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

constexpr const char* kOp = "sample";
using sample::Sampler;
using sample::State;
using ScheduleRef = std::shared_ptr<Schedule>;
using SamplerRef = std::shared_ptr<Sampler>;

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
  m.def(
      "extrapolated",
      [](ScheduleRef schedule, std::vector<int64_t> tokens_per_call, int64_t block) {
        check(block >= 0, kOp, "block must be at least 0, got ", block);
        return SamplerRef(std::make_shared<sample::Extrapolated>(std::move(schedule),
                                                                 checked_counts(std::move(tokens_per_call)), block));
      },
      py::arg("schedule").none(false), py::arg("tokens_per_call"), py::arg("block") = 0);
  m.def(
      "corrected",
      [](ScheduleRef schedule, std::vector<int64_t> tokens_per_call) {
        return SamplerRef(
            std::make_shared<sample::Corrected>(std::move(schedule), checked_counts(std::move(tokens_per_call))));
      },
      py::arg("schedule").none(false), py::arg("tokens_per_call"));
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
         py::object score, bool proposals, bool aligned) {
        check(block >= 0, kOp, "block must be at least 0, got ", block);
        return SamplerRef(std::make_shared<sample::Confidence>(sample::ConfidenceOptions{
            score.is_none() ? checked(rule) : sample::Rule::kScore, checked_counts(std::move(tokens_per_call)),
            threshold, block, aligned, bound, position_score(score), proposals}));
      },
      py::arg("rule"), py::arg("tokens_per_call"), py::arg("threshold"), py::arg("block"), py::arg("bound"),
      py::arg("score") = py::none(), py::arg("proposals") = false, py::arg("aligned") = false);
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
      [](py::typing::Callable<double(double)> masked, py::typing::Callable<double(double)> inverse) {
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
            const Claim claim(state);
            sampler.init(state);
          },
          py::arg("state"), "Brings a state to the start of the process.")
      .def(
          "admit",
          [](const Sampler& sampler, const State& state) {
            sample::check_initialised(state);
            for (int64_t b = 0; b < state.size(); ++b) sampler.admit(state, b);
          },
          py::arg("state"),
          "Throws unless this sampler can go on from the state, as far as what it keeps is concerned.");
  bind_samplers(m);
}

}  // namespace pymdm::binding
