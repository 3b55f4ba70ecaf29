#include "device/transformer.h"

#include <ATen/ops/_addmm_activation.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <c10/core/GradMode.h>

#include <limits>

#include "model/conditioning.h"
#include "ops/device_norm.h"
#include "ops/device_rows.h"

namespace pymdm::device {

using model::Conditioning;

at::Tensor Workspace::take(Slot slot, at::IntArrayRef sizes, at::ScalarType type, const at::Device& device) {
  int64_t size = 1;
  for (const int64_t n : sizes) size *= n;
  at::Tensor& held = held_[slot];
  if (!held.defined() || held.scalar_type() != type || held.numel() < size) {
    held = at::Tensor();  // frees before it takes
    held = empty({size}, type, device);
  }
  return held.narrow(0, 0, size).view(sizes);
}

void Workspace::poison() {
  for (at::Tensor& t : held_)
    if (t.defined()) t.fill_(std::numeric_limits<double>::quiet_NaN());
}

int64_t Workspace::bytes() const {
  int64_t total = 0;
  for (const at::Tensor& t : held_)
    if (t.defined()) total += static_cast<int64_t>(t.nbytes());
  return total;
}

// adaLN's vectors of one norm and of the gate behind the layer before it; absent ones are null.
struct Modulated {
  const float *gate = nullptr, *shift = nullptr, *scale = nullptr;
  int64_t gate_stride = 0, stride = 0;
};

// One forward: T is the network's element type. What is added to the residual stream waits (pending_) for the norm that
// follows, and is added by the same kernel.
struct Transformer::Pass {
  const Transformer& net;
  const Inputs& in;
  Workspace& w;
  const Where where;
  const int64_t D, T, M, hd;

  Pass(const Transformer& n, const Inputs& i, Workspace& workspace)
      : net(n),
        in(i),
        w(workspace),
        where(device::where(n.device_)),
        D(n.config_.width),
        T(i.tokens.numel()),
        M(i.rows.numel()),
        hd(n.config_.head_dim) {}

  at::Tensor take(Workspace::Slot slot, int64_t rows, int64_t columns, at::ScalarType type) {
    return w.take(slot, {rows, columns}, type, net.device_);
  }
  at::ScalarType type() const { return scalar_type(net.dtype_); }

  // y = x W^T, without the bias.
  at::Tensor product(Workspace::Slot slot, const at::Tensor& x, const Linear& layer) {
    at::Tensor y = take(slot, x.size(0), layer.weight.size(0), type());
    at::mm_out(y, x, layer.weight.t());
    return y;
  }

  at::Tensor gather(Workspace::Slot slot, const at::Tensor& x, const at::Tensor& ids) {
    const int64_t n = ids.numel(), width = x.size(1);
    at::Tensor out = take(slot, n, width, x.scalar_type());
    if (x.scalar_type() == at::kFloat)
      launch_grid(where, n, ops::packs(width),
                  ops::Gather<float>{data<float>(x), data<int64_t>(ids), data<float>(out), width});
    else
      launch_grid(where, n, ops::packs(width),
                  ops::Gather<uint16_t>{data<uint16_t>(x), data<int64_t>(ids), data<uint16_t>(out), width});
    return out;
  }

  template <class E>
  void embed(const at::Tensor& x) {
    launch_grid(where, T, ops::packs(D),
                ops::Embed<E>{data<E>(net.weights_.embed), data<int64_t>(in.tokens), data<float>(x), D});
  }

  // x += gate * (y + bias), then normed into `out`. `rows`: x holds the chosen rows.
  template <class E, class Out>
  void add_norm(const at::Tensor& x, const at::Tensor& y, const at::Tensor& bias, const Norm& norm,
                const Modulated& mod, bool chosen, const at::Tensor& out) {
    const bool timed = net.config_.conditioning == Conditioning::kTime;
    ops::AddNorm<E, Out> body;
    body.x = data<float>(x);
    body.y = data<E>(y);
    body.bias = data<float>(bias);
    body.weight = data<float>(norm.weight);
    body.norm_bias = data<float>(norm.bias);
    body.out = data<Out>(out);
    body.width = D;
    body.centred = net.config_.layernorm;
    body.eps = static_cast<float>(net.config_.norm_eps);
    body.gate = mod.gate, body.shift = mod.shift, body.scale = mod.scale;
    body.gate_stride = mod.gate_stride, body.stride = mod.stride;
    body.sequence = timed ? data<int32_t>(in.sequence) : nullptr;
    body.rows = chosen ? data<int64_t>(in.rows) : nullptr;
    launch_warps(where, x.size(0), body);
  }

  template <class E>
  void rotate(const at::Tensor& heads, const at::Tensor& bias, int64_t rotated, bool chosen) {
    const int64_t count = heads.size(1) / hd;
    const ops::Rotate<E> body{data<E>(heads),
                              data<float>(bias),
                              data<float>(net.weights_.cos),
                              data<float>(net.weights_.sin),
                              data<int32_t>(in.position),
                              chosen ? data<int64_t>(in.rows) : nullptr,
                              count,
                              rotated,
                              hd};
    launch_grid(where, heads.size(0), body.touched() * ops::packs(hd / 2), body);
  }

  template <class E>
  at::Tensor activate(const at::Tensor& hidden, const at::Tensor& bias) {
    const int64_t rows = hidden.size(0), F = net.config_.mlp_width;
    if (!net.config_.gated) {
      launch_grid(where, rows, ops::packs(F), ops::Gelu<E>{data<E>(hidden), data<float>(bias), F});
      return hidden;
    }
    at::Tensor out = take(Workspace::kActive, rows, F, type());
    launch_grid(where, rows, ops::packs(F), ops::Swiglu<E>{data<E>(hidden), data<float>(bias), data<E>(out), F});
    return out;
  }

  // The MLP's hidden layer, activated.
  template <class E>
  at::Tensor mlp_hidden(const at::Tensor& h, const Block& b) {
    if (!net.gelu_in_product_ || !b.mlp_in_bias.defined())
      return activate<E>(product(Workspace::kHidden, h, b.mlp_in), b.mlp_in.bias);
    at::Tensor y = take(Workspace::kHidden, h.size(0), net.config_.mlp_width, type());
    at::_addmm_activation_out(y, b.mlp_in_bias, h, b.mlp_in.weight.t(), 1, 1, true);
    return y;
  }

  // Attention of each group; q [slots, H hd] holds `queries` consecutive rows a sequence (0: the group's own number), k
  // and v are heads first .. first + 2 G of kv [T, .]. Gives [slots, H hd].
  at::Tensor attend(const at::Tensor& q, const at::Tensor& kv, int64_t first, bool all) {
    const model::Config& c = net.config_;
    const int64_t H = c.heads, G = c.kv_heads, width = H * hd;
    at::Tensor out;
    for (const Group& g : in.groups) {
      const int64_t n = g.sequences, L = g.length, Q = all ? L : g.queries, slot = all ? g.token : g.slot;
      if (Q == 0) continue;
      const at::Tensor query = q.narrow(0, slot, n * Q).view({n, Q, -1, hd}).narrow(2, 0, H).transpose(1, 2);
      const at::Tensor heads = kv.narrow(0, g.token, n * L).view({n, L, -1, hd});
      const at::Tensor key = heads.narrow(2, first, G).transpose(1, 2);
      const at::Tensor value = heads.narrow(2, first + G, G).transpose(1, 2);
      const at::Tensor mixed =
          at::scaled_dot_product_attention(query, key, value, {}, 0.0, c.causal(), std::nullopt, G != H)
              .transpose(1, 2)
              .reshape({n * Q, width});
      if (n * Q == q.size(0)) return mixed;
      if (!out.defined()) out = take(Workspace::kO, q.size(0), width, type());
      out.narrow(0, slot, n * Q).copy_(mixed);
    }
    return out;
  }

  template <class E>
  at::Tensor run();
};

template <class E>
at::Tensor Transformer::Pass::run() {
  const model::Config& c = net.config_;
  const Weights& weights = net.weights_;
  const int64_t H = c.heads, G = c.kv_heads, layers = c.layers;
  const bool timed = c.conditioning == Conditioning::kTime, modulated = c.conditioning != Conditioning::kNone;
  at::Tensor x = take(Workspace::kX, T, D, at::kFloat), y, y_bias;
  weights.embed.scalar_type() == at::kFloat ? embed<float>(x) : embed<uint16_t>(x);

  at::Tensor now, before;  // modulations [B or 1, 6 D] of this block and of the one before
  const auto modulation = [&](int64_t i, const Linear& ada) {
    before = now;
    if (modulated) now = timed ? net.mods(ada, in.condition) : net.constant_mods_[i];
  };
  // Norm with chunks shift, scale of `now`, behind the gate chunk of `gates`.
  const auto modulated_by = [&](const at::Tensor& gates, int64_t gate, int64_t shift) {
    Modulated m;
    if (!modulated) return m;
    m.shift = data<float>(now) + shift * D, m.scale = m.shift + D;
    m.stride = timed ? now.size(1) : 0;
    if (gates.defined()) m.gate = data<float>(gates) + gate * D, m.gate_stride = timed ? gates.size(1) : 0;
    return m;
  };

  for (int64_t i = 0; i < layers; ++i) {
    const Block& b = weights.blocks[i];
    const bool last = i + 1 == layers;
    modulation(i, b.ada);
    at::Tensor h = take(Workspace::kH, T, D, type()), o;
    add_norm<E, E>(x, y, y_bias, b.norm1, modulated_by(before, 5, 0), false, h);
    if (!last || c.causal()) {
      const at::Tensor qkv = product(Workspace::kQkv, h, b.qkv);
      rotate<E>(qkv, b.qkv.bias, H + G, false);
      o = attend(qkv, qkv, H, true);
      if (last) o = gather(Workspace::kChosenO, o, in.rows);
    } else {  // keys and values are of every token; everything else only of the rows that are wanted afterwards
      const at::Tensor kv = product(Workspace::kQkv, h, b.kv);
      rotate<E>(kv, b.kv.bias, G, false);
      at::Tensor q = product(Workspace::kQ, gather(Workspace::kChosenO, h, in.rows), b.q);
      rotate<E>(q, b.q.bias, H, true);
      if (in.slot_row.defined()) q = gather(Workspace::kQueries, q, in.slot_row);
      o = attend(q, kv, 0, false);
      if (in.row_slot.defined()) o = gather(Workspace::kChosenO, o, in.row_slot);
    }
    if (last) x = gather(Workspace::kChosenX, x, in.rows);
    y = product(Workspace::kY, o, b.out);
    h = take(Workspace::kH, x.size(0), D, type());
    add_norm<E, E>(x, y, b.out.bias, b.norm2, modulated_by(now, 2, 3), last, h);
    y = product(Workspace::kY, mlp_hidden<E>(h, b), b.mlp_out);
    y_bias = b.mlp_out.bias;
  }

  modulation(layers, weights.ada_final);
  at::Tensor hidden = take(Workspace::kLast, M, D, at::kFloat);
  add_norm<E, float>(x, y, y_bias, weights.norm_final, modulated_by(before, 5, 0), true, hidden);
  if (in.place.defined()) hidden = gather(Workspace::kPlaced, hidden, in.place);
  at::Tensor logits = take(Workspace::kLogits, M, c.vocab_size, at::kFloat);
  if (weights.head.bias.defined())
    at::addmm_out(logits, weights.head.bias, hidden, weights.head.weight.t());
  else
    at::mm_out(logits, hidden, weights.head.weight.t());
  return logits;
}

Transformer::Transformer(const model::Config& config, const model::Parameters& parameters, DType dtype,
                         const at::Device& device)
    : config_(config),
      dtype_(dtype),
      device_(device),
      weights_(make_weights(config, parameters, dtype, device)),
      gelu_in_product_(device.is_cuda() && dtype == DType::kBFloat16) {
  if (config.conditioning != Conditioning::kConstant) return;
  const c10::NoGradGuard no_grad;
  const std::vector<float> c = model::constant_condition(weights_.time);
  const at::Tensor condition = upload(c, at::kFloat, device).view({1, -1});
  for (const Block& block : weights_.blocks) constant_mods_.push_back(mods(block.ada, condition));
  constant_mods_.push_back(mods(weights_.ada_final, condition));
}

at::Tensor Transformer::mods(const Linear& ada, const at::Tensor& condition) const {
  return at::addmm(ada.bias, condition, ada.weight.t());
}

at::Tensor Transformer::forward(const Inputs& in, Workspace& w) const {
  const c10::DeviceGuard guard(device_);
  const c10::NoGradGuard no_grad;
  Pass pass(*this, in, w);
  return dtype_ == DType::kFloat32 ? pass.run<float>() : pass.run<uint16_t>();
}

Inputs Transformer::upload_batch(const Batch& batch) const {
  const Layout layout = make_layout(batch, config_.logit_shift);
  Inputs in;
  in.groups = layout.groups;
  in.tokens = upload(layout.tokens, at::kLong, device_);
  in.position = upload(layout.position, at::kInt, device_);
  in.rows = upload(layout.rows, at::kLong, device_);
  if (!layout.in_order) in.place = upload(layout.place, at::kLong, device_);
  if (!layout.dense && !config_.causal()) {
    in.slot_row = upload(layout.slot_row, at::kLong, device_);
    in.row_slot = upload(layout.row_slot, at::kLong, device_);
  }
  if (config_.conditioning != Conditioning::kTime) return in;
  in.sequence = upload(layout.sequence, at::kInt, device_);
  const int64_t B = batch.times.size, size = config_.cond_dim, stride = model::kTimeFeatures + size;
  std::vector<double> times;
  for (const int64_t b : layout.order) times.push_back(batch.times[b]);
  std::vector<float> hidden((B + ops::kRowPadding) * stride, 0.0f), out((B + ops::kRowPadding) * size, 0.0f);
  model::condition(weights_.time.in, weights_.time.out, config_.sigma_input, {times.data(), B},
                   {hidden.data(), stride, DType::kFloat32}, {out.data(), size, DType::kFloat32});
  out.resize(B * size);
  in.condition = upload(out, at::kFloat, device_).view({B, size});
  return in;
}

}  // namespace pymdm::device
