// The sampling state for Python: made from tensors, read as tensors, saved and restored as plain data.
#include "sample/state.h"

#include "binding/bind.h"
#include "binding/tensor.h"
#include "random/address.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

constexpr const char* kOp = "sample";
using sample::Kept;
using sample::State;

void check_state(const State& s) {
  check(s.offsets.size() == s.sequence.size() + 1, kOp, "expected one offset more than sequence ids, got ",
        s.offsets.size(), " and ", s.sequence.size());
  check(s.offsets.front() == 0 && s.offsets.back() == static_cast<int64_t>(s.tokens.size()), kOp,
        "offsets must run from 0 to the ", s.tokens.size(), " tokens");
  for (size_t b = 0; b < s.sequence.size(); ++b) {
    check(s.offsets[b] < s.offsets[b + 1], kOp, "sequence ", b, " is empty");
    check(s.sequence[b] <= kMaxSequence, kOp, "sequence id must be in [0, 2^56), got ",
          static_cast<int64_t>(s.sequence[b]));
  }
  for (const int64_t token : s.tokens) check(token >= 0, kOp, "token ids must be at least 0, got ", token);
}

State make_state(const at::Tensor& tokens, const at::Tensor& offsets, const at::Tensor& sequence, int64_t mask_id,
                 uint64_t seed) {
  State state;
  state.tokens = vector_of<int64_t>(cpu_tensor(kOp, "tokens", tokens, at::kLong, 1));
  state.offsets = vector_of<int64_t>(cpu_tensor(kOp, "offsets", offsets, at::kLong, 1));
  state.sequence = vector_of<uint64_t>(cpu_tensor(kOp, "sequence ids", sequence, at::kLong, 1));
  state.mask_id = mask_id;
  state.seed = seed;
  check_state(state);
  return state;
}

// Kept outputs of all sequences, one after the other, with their counts.
py::dict to_dict(const State& s) {
  py::dict out;
  out["mask_id"] = s.mask_id;
  out["seed"] = s.seed;
  out["calls"] = s.calls;
  out["draws"] = s.draws;
  out["offsets"] = tensor_of(s.offsets, at::kLong);
  out["sequence"] = tensor_of(s.sequence, at::kLong);
  out["tokens"] = tensor_of(s.tokens, at::kLong);
  out["times"] = tensor_of(s.times, at::kDouble);
  out["order"] = tensor_of(s.order, at::kLong);
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
  const at::Tensor t = cpu_tensor(kOp, name, d[name].cast<at::Tensor>(), dtype, 1);
  check(size < 0 || t.numel() == size, kOp, "the saved state's ", name, " must have ", size, " entries, got ",
        t.numel());
  return vector_of<T>(t);
}

template <class T>
std::vector<T> take(const std::vector<T>& all, size_t& at, int64_t count) {
  check(count >= 0 && at + count <= all.size(), kOp, "the saved state's kept outputs end too early");
  at += count;
  return std::vector<T>(all.begin() + at - count, all.begin() + at);
}

// Guesses of all sequences, cut by their counts; a wrong one costs a round, never a token.
void take_guesses(const py::dict& d, State& s) {
  const auto counts = field<int64_t>(d, "guess_counts", at::kLong, s.size());
  const auto tokens = field<int64_t>(d, "guess_tokens", at::kLong, -1);
  const auto gaps = field<double>(d, "guess_gaps", at::kDouble, static_cast<int64_t>(tokens.size()));
  size_t token = 0, gap = 0;
  for (const int64_t t : tokens) check(t >= 0 && t != s.mask_id, kOp, "the saved state guesses token ", t);
  for (const int64_t count : counts) s.guesses.push_back({take(tokens, token, count), take(gaps, gap, count)});
}

State from_dict(const py::dict& d) {
  State s;
  for (const char* name : {"mask_id", "seed", "calls", "draws"})
    check(d.contains(name), kOp, "the saved state has no ", name);
  s.mask_id = d["mask_id"].cast<int64_t>();
  s.seed = d["seed"].cast<uint64_t>();
  s.calls = d["calls"].cast<int64_t>();
  s.draws = d["draws"].cast<int64_t>();
  s.sequence = field<uint64_t>(d, "sequence", at::kLong, -1);
  const auto batch = static_cast<int64_t>(s.sequence.size());
  s.offsets = field<int64_t>(d, "offsets", at::kLong, batch + 1);
  s.tokens = field<int64_t>(d, "tokens", at::kLong, -1);
  check_state(s);
  const auto total = static_cast<int64_t>(s.tokens.size());
  s.times = field<double>(d, "times", at::kDouble, total);
  s.order = field<int64_t>(d, "order", at::kLong, total);
  s.remaining = field<int64_t>(d, "remaining", at::kLong, batch);
  s.unmasked = field<int64_t>(d, "unmasked", at::kLong, batch);
  s.event = field<int64_t>(d, "event", at::kLong, batch);
  s.masked = field<double>(d, "masked", at::kDouble, batch);
  s.nfe = field<int64_t>(d, "nfe", at::kLong, batch);
  for (int64_t b = 0; b < batch; ++b) {
    int64_t masks = 0;
    for (int64_t i = s.offsets[b]; i < s.offsets[b + 1]; ++i) masks += s.tokens[i] == s.mask_id;
    check(masks == s.remaining[b] && s.event[b] >= 0 && s.nfe[b] >= 0 && s.masked[b] >= 0 && s.masked[b] <= 1, kOp,
          "the saved state of sequence ", b, " contradicts itself");
  }
  s.rounds = field<int64_t>(d, "rounds", at::kLong, batch);
  s.rows = field<int64_t>(d, "rows", at::kLong, batch);
  take_guesses(d, s);
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
    for (const int64_t l : kept.positions)
      check(l >= 0 && l < s.offsets[b + 1] - s.offsets[b], kOp, "the saved state keeps position ", l, " of sequence ",
            b);
    const std::vector<int64_t> kept_events = take(events, event, event_counts[b]);
    kept.events.assign(kept_events.begin(), kept_events.end());
    kept.scores = take(scores, score, score_counts[b]);
    s.kept.push_back(std::move(kept));
  }
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
      .def("to_dict", &to_dict, "Numbers and tensors that from_dict makes the same state of.")
      .def_static("from_dict", &from_dict, py::arg("saved"))
      .def_property_readonly("tokens", tensor_property(&State::tokens, at::kLong))
      .def_property_readonly("offsets", tensor_property(&State::offsets, at::kLong))
      .def_property_readonly("times", tensor_property(&State::times, at::kDouble))
      .def_property_readonly("order", tensor_property(&State::order, at::kLong))
      .def_property_readonly("remaining", tensor_property(&State::remaining, at::kLong))
      .def_property_readonly("nfe", tensor_property(&State::nfe, at::kLong))
      .def_property_readonly("rounds", tensor_property(&State::rounds, at::kLong))
      .def_property_readonly("rows", tensor_property(&State::rows, at::kLong))
      .def_property_readonly("sequence", tensor_property(&State::sequence, at::kLong))
      .def_readonly("mask_id", &State::mask_id)
      .def_readonly("seed", &State::seed)
      .def_readonly("calls", &State::calls)
      .def_readonly("draws", &State::draws);
}

}  // namespace pymdm::binding
