#include "binding/callable.h"

#include <algorithm>
#include <map>

#include "binding/tensor.h"

namespace py = pybind11;

namespace pymdm::binding {
namespace {

constexpr const char* kOp = "sample";

// Sequences of one length, and the rows that were asked of them.
struct Group {
  std::vector<int64_t> tokens, rows, where;  // where: index of each row in the batch's rows
  std::vector<int64_t> lengths;
  std::vector<double> times;
};

}  // namespace

CallableNetwork::CallableNetwork(py::object score) : score_(std::move(score)) {
  if (py::hasattr(score_, "pad_id") && !score_.attr("pad_id").is_none()) pad_ = score_.attr("pad_id").cast<int64_t>();
}

CallableNetwork::~CallableNetwork() {
  py::gil_scoped_acquire gil;
  score_ = py::object();
  logits_ = at::Tensor();
  chooser_ = {};
}

sample::Logits CallableNetwork::logits(const Batch& batch) {
  std::map<int64_t, Group> groups;
  const int64_t sequences = batch.offsets.size - 1;
  std::vector<Group*> group_of(sequences);
  std::vector<int64_t> first_in_group(sequences);
  int64_t longest = 0;
  for (int64_t b = 0; b < sequences; ++b) longest = std::max(longest, batch.offsets[b + 1] - batch.offsets[b]);
  for (int64_t b = 0; b < sequences; ++b) {
    const int64_t own = batch.offsets[b + 1] - batch.offsets[b], length = pad_ < 0 ? own : longest;
    Group& group = groups[length];
    group_of[b] = &group;
    first_in_group[b] = static_cast<int64_t>(group.tokens.size());
    group.tokens.insert(group.tokens.end(), batch.tokens.data + batch.offsets[b],
                        batch.tokens.data + batch.offsets[b + 1]);
    group.tokens.resize(first_in_group[b] + length, pad_);
    group.lengths.push_back(own);
    group.times.push_back(batch.times[b]);
  }
  for (int64_t r = 0; r < batch.rows.size; ++r) {
    const int64_t* owner = std::upper_bound(batch.offsets.begin(), batch.offsets.end(), batch.rows[r]) - 1;
    const int64_t b = owner - batch.offsets.begin();
    group_of[b]->rows.push_back(first_in_group[b] + batch.rows[r] - *owner);
    group_of[b]->where.push_back(r);
  }

  py::gil_scoped_acquire gil;
  logits_ = at::Tensor();
  calls_ = static_cast<int64_t>(groups.size());
  for (const auto& [length, group] : groups) {
    const int64_t count = static_cast<int64_t>(group.times.size());
    const at::Tensor rows = tensor_of(group.rows, at::kLong);
    const at::Tensor tokens = tensor_of(group.tokens, at::kLong).view({count, length});
    const at::Tensor times = tensor_of(group.times, at::kDouble);
    py::object result =
        pad_ < 0 ? score_(tokens, times, rows) : score_(tokens, times, rows, tensor_of(group.lengths, at::kLong));
    at::Tensor scored = result.cast<at::Tensor>().detach();
    check(scored.dim() == 2 && scored.size(0) == rows.numel() && (scored.is_cpu() || scored.is_cuda()), kOp,
          "expected logits [", rows.numel(), ", V] on cpu or cuda from the network, got ", shape_of(scored));
    logits_dtype(kOp, scored);
    if (groups.size() == 1) {
      logits_ = scored.contiguous();
      break;
    }
    if (!logits_.defined()) logits_ = at::empty({batch.rows.size, scored.size(1)}, scored.options());
    check(scored.size(1) == logits_.size(1) && scored.scalar_type() == logits_.scalar_type() &&
              scored.device() == logits_.device(),
          kOp, "the network gave ", shape_of(scored), " after ", shape_of(logits_));
    logits_.index_copy_(0, tensor_of(group.where, at::kLong).to(scored.device()), scored);
  }
  if (logits_.is_cuda()) return chooser_.hold(logits_);
  return {logits_.data_ptr(), logits_dtype(kOp, logits_), logits_.size(1), logits_.size(1)};
}

sample::Logits CallableNetwork::on_host(const sample::Logits& given) {
  return given.chooser == nullptr ? given : chooser_.on_host();
}

}  // namespace pymdm::binding
