// Binds the sampling state, which is made from tensors, read as tensors, saved and restored as plain data.
#include "sample/state.h"

#include <torch/csrc/autograd/python_variable.h>

#include <limits>
#include <numeric>

#include "binding/bind.h"
#include "binding/tensor.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

constexpr const char* kOp = "sample";
using sample::Kept;
using sample::State;

// Saved states of another version are refused, not guessed at.
constexpr int64_t kFormat = 1;

State make_state(const at::Tensor& tokens, const at::Tensor& offsets, const at::Tensor& sequence, int64_t mask_id,
                 uint64_t seed) {
  State state;
  state.tokens = vector_of<int64_t>(cpu_tensor(kOp, "tokens", tokens, at::kLong, 1));
  state.offsets = vector_of<int64_t>(cpu_tensor(kOp, "offsets", offsets, at::kLong, 1));
  state.sequence = vector_of<uint64_t>(cpu_tensor(kOp, "sequence ids", sequence, at::kLong, 1));
  state.mask_id = mask_id;
  state.seed = seed;
  check_start(state);
  return state;
}

// Kept outputs of all sequences, one after the other, with their counts.
Named to_dict(const State& s) {
  check_initialised(s);
  Named out;
  out["format"] = kFormat;
  out["settings"] = s.settings;
  out["vocab"] = s.vocab;
  out["mask_id"] = s.mask_id;
  out["seed"] = s.seed;
  out["calls"] = s.calls;
  out["draws"] = s.draws;
  out["offsets"] = tensor_of(s.offsets, at::kLong);
  out["sequence"] = tensor_of(s.sequence, at::kLong);
  out["tokens"] = tensor_of(s.tokens, at::kLong);
  out["times"] = tensor_of(s.times, at::kDouble);
  out["log_prob"] = tensor_of(s.log_prob, at::kDouble);
  out["order"] = tensor_of(s.rank, at::kLong);
  out["remaining"] = tensor_of(s.remaining, at::kLong);
  out["unmasked"] = tensor_of(s.unmasked, at::kLong);
  out["event"] = tensor_of(s.event, at::kLong);
  out["masked"] = tensor_of(s.masked, at::kDouble);
  out["nfe"] = tensor_of(s.nfe, at::kLong);
  Kept all;
  out["rounds"] = tensor_of(s.rounds, at::kLong);
  out["rows"] = tensor_of(s.rows, at::kLong);
  std::vector<int64_t> guess_counts, guesses;
  std::vector<double> gaps;
  for (const sample::Guesses& g : s.guesses) {
    guess_counts.push_back(static_cast<int64_t>(g.tokens.size()));
    guesses.insert(guesses.end(), g.tokens.begin(), g.tokens.end());
    gaps.insert(gaps.end(), g.gaps.begin(), g.gaps.end());
  }
  out["guess_counts"] = tensor_of(guess_counts, at::kLong);
  out["guess_tokens"] = tensor_of(guesses, at::kLong);
  out["guess_gaps"] = tensor_of(gaps, at::kDouble);
  std::vector<double> times;
  std::vector<int64_t> counts, event_counts, score_counts;
  for (const Kept& kept : s.kept) {
    times.push_back(kept.time);
    counts.push_back(static_cast<int64_t>(kept.positions.size()));
    event_counts.push_back(static_cast<int64_t>(kept.events.size()));
    score_counts.push_back(static_cast<int64_t>(kept.scores.size()));
    all.positions.insert(all.positions.end(), kept.positions.begin(), kept.positions.end());
    all.events.insert(all.events.end(), kept.events.begin(), kept.events.end());
    all.scores.insert(all.scores.end(), kept.scores.begin(), kept.scores.end());
  }
  out["kept_times"] = tensor_of(times, at::kDouble);
  out["kept_counts"] = tensor_of(counts, at::kLong);
  out["kept_event_counts"] = tensor_of(event_counts, at::kLong);
  out["kept_score_counts"] = tensor_of(score_counts, at::kLong);
  out["kept_positions"] = tensor_of(all.positions, at::kLong);
  out["kept_events"] = tensor_of(std::vector<int64_t>(all.events.begin(), all.events.end()), at::kLong);
  out["kept_scores"] = tensor_of(all.scores, at::kDouble);
  return out;
}

template <class T>
std::vector<T> field(const py::dict& d, const char* name, at::ScalarType dtype, int64_t size) {
  check(d.contains(name), kOp, "the saved state has no ", name);
  const py::object value = d[name];
  check(THPVariable_Check(value.ptr()), kOp, "the saved state's ", name, " must be a tensor, got ",
        Py_TYPE(value.ptr())->tp_name);
  const at::Tensor t = cpu_tensor(kOp, name, value.cast<at::Tensor>(), dtype, 1);
  check(size < 0 || t.numel() == size, kOp, "the saved state's ", name, " must have ", size, " entries, got ",
        t.numel());
  return vector_of<T>(t);
}

template <class T>
T value(const py::dict& d, const char* name) {
  check(d.contains(name), kOp, "the saved state has no ", name);
  try {
    return d[name].cast<T>();
  } catch (const py::cast_error&) {
    fail(kOp, "the saved state's ", name, " is of the wrong type or range, got ",
         py::str(py::repr(d[name])).cast<std::string>().substr(0, 60));
  }
}

template <class T>
std::vector<T> take(const std::vector<T>& all, size_t& at, int64_t count) {
  check(count >= 0 && static_cast<uint64_t>(count) <= all.size() - at, kOp,
        "the saved state's kept outputs end too early");
  at += static_cast<size_t>(count);
  return std::vector<T>(all.begin() + at - count, all.begin() + at);
}

// Guesses of all sequences, cut by their counts; a wrong one costs a round, never a token.
void take_guesses(const py::dict& d, State& s) {
  const auto counts = field<int64_t>(d, "guess_counts", at::kLong, s.size());
  const auto tokens = field<int64_t>(d, "guess_tokens", at::kLong, -1);
  const auto gaps = field<double>(d, "guess_gaps", at::kDouble, static_cast<int64_t>(tokens.size()));
  size_t token = 0, gap = 0;
  check(std::accumulate(counts.begin(), counts.end(), uint64_t{0}) == tokens.size(), kOp,
        "the saved state's guesses do not add up to their counts");
  for (const int64_t count : counts) s.guesses.push_back({take(tokens, token, count), take(gaps, gap, count)});
}

// Kept outputs of all sequences, cut by their counts; nothing may be left over.
void take_kept(const py::dict& d, State& s) {
  const int64_t batch = s.size();
  const auto times = field<double>(d, "kept_times", at::kDouble, batch);
  const auto counts = field<int64_t>(d, "kept_counts", at::kLong, batch);
  const auto event_counts = field<int64_t>(d, "kept_event_counts", at::kLong, batch);
  const auto score_counts = field<int64_t>(d, "kept_score_counts", at::kLong, batch);
  const auto positions = field<int64_t>(d, "kept_positions", at::kLong, -1);
  const auto events = field<int64_t>(d, "kept_events", at::kLong, -1);
  const auto scores = field<double>(d, "kept_scores", at::kDouble, -1);
  size_t position = 0, event = 0, score = 0;
  for (int64_t b = 0; b < batch; ++b) {
    Kept kept;
    kept.time = times[b];
    kept.positions = take(positions, position, counts[b]);
    for (const int64_t e : take(events, event, event_counts[b])) {
      check(e >= 0 && e <= std::numeric_limits<uint32_t>::max(), kOp, "the saved state keeps event ", e);
      kept.events.push_back(static_cast<uint32_t>(e));
    }
    kept.scores = take(scores, score, score_counts[b]);
    s.kept.push_back(std::move(kept));
  }
  check(position == positions.size() && event == events.size() && score == scores.size(), kOp,
        "the saved state keeps more outputs than its counts say");
}

State restored_state(const Named& d) {
  State s;
  const auto format = value<int64_t>(d, "format");
  check(format == kFormat, kOp, "the saved state has format ", format, "; this version reads format ", kFormat);
  s.settings = value<std::string>(d, "settings");
  s.vocab = value<int64_t>(d, "vocab");
  s.mask_id = value<int64_t>(d, "mask_id");
  s.seed = value<uint64_t>(d, "seed");
  s.calls = value<int64_t>(d, "calls");
  s.draws = value<int64_t>(d, "draws");
  s.sequence = field<uint64_t>(d, "sequence", at::kLong, -1);
  const int64_t batch = s.size();
  s.offsets = field<int64_t>(d, "offsets", at::kLong, batch + 1);
  s.tokens = field<int64_t>(d, "tokens", at::kLong, -1);
  check_start(s);
  const auto total = static_cast<int64_t>(s.tokens.size());
  s.times = field<double>(d, "times", at::kDouble, total);
  s.log_prob = field<double>(d, "log_prob", at::kDouble, total);
  s.rank = field<int64_t>(d, "order", at::kLong, total);
  s.remaining = field<int64_t>(d, "remaining", at::kLong, batch);
  s.unmasked = field<int64_t>(d, "unmasked", at::kLong, batch);
  s.event = field<int64_t>(d, "event", at::kLong, batch);
  s.masked = field<double>(d, "masked", at::kDouble, batch);
  s.nfe = field<int64_t>(d, "nfe", at::kLong, batch);
  s.rounds = field<int64_t>(d, "rounds", at::kLong, batch);
  s.rows = field<int64_t>(d, "rows", at::kLong, batch);
  take_guesses(d, s);
  take_kept(d, s);
  check_progress(s);
  return s;
}

template <class T>
auto tensor_property(std::vector<T> State::* field, at::ScalarType dtype) {
  return [field, dtype](const State& s) { return tensor_of(s.*field, dtype); };
}

}  // namespace

void bind_state(py::module_& m) {
  py::class_<State>(m, "State", "What a sampling run remembers between two steps: plain data.")
      .def(py::init(&make_state), py::arg("tokens"), py::arg("offsets"), py::arg("sequence"), py::arg("mask_id"),
           py::arg("seed"))
      .def("to_dict", &to_dict, "Numbers, text and tensors that restored_state makes the same state of.")
      .def("select", &sample::select, py::arg("sequences"), "The state of these sequences alone.")
      .def("__reduce__",
           [m](const State& s) { return py::make_tuple(m.attr("restored_state"), py::make_tuple(to_dict(s))); })
      .def_property_readonly("tokens", tensor_property(&State::tokens, at::kLong))
      .def_property_readonly("offsets", tensor_property(&State::offsets, at::kLong))
      .def_property_readonly("times", tensor_property(&State::times, at::kDouble))
      .def_property_readonly("log_prob", tensor_property(&State::log_prob, at::kDouble))
      .def_property_readonly("rank", tensor_property(&State::rank, at::kLong))
      .def_property_readonly("remaining", tensor_property(&State::remaining, at::kLong))
      .def_property_readonly("nfe", tensor_property(&State::nfe, at::kLong))
      .def(
          "force",
          [](State& s, const at::Tensor& tokens) {
            s.forced = vector_of<int64_t>(cpu_tensor(kOp, "forced tokens", tokens, at::kLong, 1));
            check(s.forced.size() == s.tokens.size(), kOp, "expected ", s.tokens.size(), " forced tokens, got ",
                  s.forced.size());
          },
          py::arg("tokens"), "Tokens [T] that are taken at masked positions in place of drawn ones: teacher forcing.")
      .def_property_readonly("rounds", tensor_property(&State::rounds, at::kLong))
      .def_property_readonly("rows", tensor_property(&State::rows, at::kLong))
      .def_property_readonly("sequence", tensor_property(&State::sequence, at::kLong))
      .def_readonly("mask_id", &State::mask_id)
      .def_readonly("seed", &State::seed)
      .def_readonly("vocab", &State::vocab)
      .def_readwrite("settings", &State::settings)
      .def_readonly("calls", &State::calls)
      .def_readonly("draws", &State::draws);
  m.def("restored_state", &restored_state, py::arg("saved"),
        "The state that to_dict saved; raises ValueError unless all parts agree.");
}

}  // namespace pymdm::binding
