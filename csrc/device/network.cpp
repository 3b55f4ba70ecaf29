#include "device/network.h"

#include "device/choose.h"

namespace pymdm::device {
namespace {

DType type_of(const at::Tensor& t) {
  return t.scalar_type() == at::kFloat      ? DType::kFloat32
         : t.scalar_type() == at::kDouble   ? DType::kFloat64
         : t.scalar_type() == at::kBFloat16 ? DType::kBFloat16
                                            : DType::kFloat16;
}

sample::Logits rows_of(const at::Tensor& t) { return {t.data_ptr(), type_of(t), t.size(1), t.size(1)}; }

}  // namespace

void TensorChooser::choose(const ops::ChooseArgs& args) { device::choose(logits_, args); }

sample::Logits TensorChooser::hold(const at::Tensor& logits) {
  logits_ = logits.contiguous();
  host_ = at::Tensor();
  sample::Logits out = rows_of(logits_);
  out.chooser = this;
  return out;
}

sample::Logits TensorChooser::on_host() {
  host_ = logits_.cpu();
  return rows_of(host_);
}

Network::Network(const model::Config& config, const model::Parameters& parameters, DType dtype,
                 const at::Device& device)
    : transformer_(config, parameters, dtype, device) {}

sample::Logits Network::logits(const model::Batch& batch) {
  model::check_batch(transformer_.config(), batch);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (batch.rows.size == 0)  // a step in which nothing moves
    return chooser_.hold(empty({0, transformer_.config().vocab_size}, at::kFloat, transformer_.device()));
  return chooser_.hold(transformer_.forward(transformer_.upload_batch(batch), workspace_));
}

at::Tensor Network::score(const model::Batch& batch) {
  model::check_batch(transformer_.config(), batch);
  if (batch.rows.size == 0) return empty({0, transformer_.config().vocab_size}, at::kFloat, transformer_.device());
  const std::lock_guard<std::mutex> lock(mutex_);
  return transformer_.forward(transformer_.upload_batch(batch), workspace_).clone();
}

int64_t Network::workspace_bytes() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return workspace_.bytes();
}

void Network::poison() {
  const std::lock_guard<std::mutex> lock(mutex_);
  workspace_.poison();
}

}  // namespace pymdm::device
