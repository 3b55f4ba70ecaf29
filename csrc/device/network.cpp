#include "device/network.h"

#include "device/choose.h"
#include "model/denoiser.h"

namespace pymdm::device {
namespace {

constexpr size_t kKept = 4;  // idle memories of a network

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

std::unique_ptr<Network::Memory> Network::borrow() {
  void* const stream = where(transformer_.device()).stream;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto memory = idle_.begin(); memory != idle_.end(); ++memory)
    if ((*memory)->stream == stream) {
      std::unique_ptr<Memory> out = std::move(*memory);
      idle_.erase(memory);
      return out;
    }
  auto out = std::make_unique<Memory>();
  out->stream = stream;
  return out;
}

void Network::give_back(std::unique_ptr<Memory> memory) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (idle_.size() >= kKept) idle_.erase(idle_.begin());
  idle_.push_back(std::move(memory));
}

at::Tensor Network::score(const Batch& batch) {
  model::check_batch(transformer_.config(), batch);
  if (batch.rows.size == 0) return empty({0, transformer_.config().vocab_size}, at::kFloat, transformer_.device());
  std::unique_ptr<Memory> memory = borrow();
  at::Tensor out = transformer_.forward(transformer_.upload_batch(batch), memory->workspace).clone();
  give_back(std::move(memory));
  return out;
}

int64_t Network::workspace_bytes() {
  const std::lock_guard<std::mutex> lock(mutex_);
  int64_t total = 0;
  for (const auto& memory : idle_) total += memory->workspace.bytes();
  return total;
}

void Network::poison() {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& memory : idle_) memory->workspace.poison();
}

Run::Run(std::shared_ptr<device::Network> network) : network_(std::move(network)), memory_(network_->borrow()) {}

Run::~Run() { network_->give_back(std::move(memory_)); }

sample::Logits Run::logits(const Batch& batch) {
  const Transformer& net = network_->transformer();
  model::check_batch(net.config(), batch);
  if (batch.rows.size == 0)  // a step in which nothing moves
    return chooser_.hold(empty({0, net.config().vocab_size}, at::kFloat, net.device()));
  return chooser_.hold(net.forward(net.upload_batch(batch), memory_->workspace));
}

}  // namespace pymdm::device
