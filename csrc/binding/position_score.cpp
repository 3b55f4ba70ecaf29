#include "binding/position_score.h"

#include <cmath>
#include <map>
#include <memory>

#include "binding/tensor.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

constexpr const char* kOp = "sample";
using sample::Logits;
using sample::Plan;
using sample::State;

at::ScalarType scalar_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return at::kFloat;
    case DType::kBFloat16:
      return at::kBFloat16;
    case DType::kFloat16:
      return at::kHalf;
    default:
      return at::kDouble;
  }
}

// Makes a row of logits -inf outside of what its position allows.
void cut(const at::Tensor& row, const Logits& logits, int64_t r) {
  if (logits.allowed == nullptr || logits.allowed[r].data == nullptr) return;
  const at::Tensor ids = tensor_of(std::vector<int64_t>(logits.allowed[r].begin(), logits.allowed[r].end()), at::kLong);
  const at::Tensor kept = row.index_select(0, ids);
  row.fill_(-INFINITY).index_copy_(0, ids, kept);
}

std::vector<double> scores_of(const py::object& score, const State& state, const Plan& plan, const Logits& logits,
                              const std::vector<int64_t>& tokens) {
  std::vector<double> out(plan.rows(), sample::kNever);
  std::map<int64_t, std::vector<int64_t>> groups;  // planned sequences whose every position has a row, by length
  for (int64_t i = 0; i < plan.size(); ++i)
    if (const int64_t length = state.length(plan.sequences[i]); plan.row_begin[i + 1] - plan.row_begin[i] == length)
      groups[length].push_back(i);
  if (groups.empty()) return out;
  const py::gil_scoped_acquire gil;
  const at::Tensor all = at::from_blob(const_cast<void*>(logits.data), {plan.rows(), logits.vocab}, {logits.stride, 1},
                                       scalar_type(logits.dtype));
  for (const auto& [length, members] : groups) {
    const auto count = static_cast<int64_t>(members.size());
    std::vector<int64_t> shown, rows(count * length);
    for (int64_t m = 0; m < count; ++m) {
      const int64_t i = members[m], begin = state.offsets[plan.sequences[i]];
      shown.insert(shown.end(), tokens.begin() + begin, tokens.begin() + begin + length);
      for (int64_t r = plan.row_begin[i]; r < plan.row_begin[i + 1]; ++r) rows[m * length + plan.positions[r]] = r;
    }
    const at::Tensor read = all.index_select(0, tensor_of(rows, at::kLong)).view({count, length, logits.vocab});
    for (int64_t k = 0; k < count * length; ++k) cut(read.view({-1, logits.vocab})[k], logits, rows[k]);
    const py::object answer = score(tensor_of(shown, at::kLong).view({count, length}), read);
    const at::Tensor scores = cpu_tensor(kOp, "scores", answer.cast<at::Tensor>(), at::kDouble, 2);
    check(scores.size(0) == count && scores.size(1) == length, kOp, "scores must be [", count, ", ", length, "], got ",
          shape_of(scores));
    for (int64_t k = 0; k < count * length; ++k) {
      const double value = scores.data_ptr<double>()[k];
      const int64_t b = plan.sequences[members[k / length]];
      check(!std::isnan(value), kOp, "score gave nan for sequence ", b, " (id ", state.sequence[b], "), position ",
            k % length);
      out[rows[k]] = value;
    }
  }
  return out;
}

}  // namespace

sample::PositionScore position_score(py::object score) {
  if (score.is_none()) return {};
  const auto held = std::shared_ptr<py::object>(new py::object(std::move(score)), [](py::object* o) {
    const py::gil_scoped_acquire gil;
    delete o;
  });
  return [held](const State& state, const Plan& plan, const Logits& logits, const std::vector<int64_t>& tokens) {
    return scores_of(*held, state, plan, logits, tokens);
  };
}

}  // namespace pymdm::binding
