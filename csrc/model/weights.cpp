#include "model/weights.h"

#include <algorithm>

#include "core/error.h"

namespace pymdm::model {
namespace {

using ops::Packed;
using ops::Parameter;

struct Maker {
  const Config& c;
  Reader read;
  DType dtype;
  std::vector<float> cond;  // the condition where it is constant, [cond]

  ops::Norm norm(const std::string& name, int64_t size, bool bias) {
    ops::Norm out{c.layernorm, static_cast<float>(c.norm_eps), read.floats(name + ".weight", size), {}};
    if (bias) out.bias = read.floats(name + ".bias", size);
    return out;
  }
  ops::Norm norm(const std::string& name) { return norm(name, c.width, c.norm_bias); }

  Packed plain(const std::string& name, int64_t out, int64_t in, bool bias, DType type,
               const float* row_scale = nullptr) {
    ops::PackPlan plan;
    plan.out = out;
    plan.row_scale = row_scale;
    const Parameter& weight = read.need(name + ".weight", out, in);
    return ops::pack(name.c_str(), weight, read.bias(name, out, bias), type, plan);
  }

  // `count` heads of the fused projection from head `first` on; panels hold whole heads.
  Packed heads(const std::string& name, int64_t first, int64_t count) {
    const int64_t hd = c.head_dim, rows = (c.heads + 2 * c.kv_heads) * hd;
    const Parameter& weight = read.need(name + ".weight", rows, c.width);
    const int64_t per_panel = std::min(count, std::max<int64_t>(1, ops::panel_columns(dtype) / hd));
    const int64_t panel = (per_panel * hd + 15) / 16 * 16, panels = (count + per_panel - 1) / per_panel;
    ops::PackPlan plan;
    plan.panel = panel;
    plan.out = panels * panel;
    plan.source = [=](int64_t n) {
      const int64_t head = n / panel * per_panel + n % panel / hd;
      return n % panel >= per_panel * hd || head >= count ? -1 : (first + head) * hd + n % panel % hd;
    };
    return ops::pack(name.c_str(), weight, read.bias(name, rows, c.qkv_bias), dtype, plan);
  }

  // W c + b for a constant condition.
  std::vector<float> constant(const std::string& name, int64_t out) {
    const std::vector<float> w = read.floats(name + ".weight", out, c.cond_dim);
    std::vector<float> y = read.floats(name + ".bias", out);
    for (int64_t n = 0; n < out; ++n) {
      double sum = y[n];
      for (int64_t k = 0; k < c.cond_dim; ++k) sum += double{w[n * c.cond_dim + k]} * cond[k];
      y[n] = static_cast<float>(sum);
    }
    return y;
  }

  // norm(x) * (1 + scale) + shift is a norm with other weights.
  static void fold(ops::Norm& norm, const float* shift, const float* scale) {
    const size_t D = norm.weight.size();
    if (norm.bias.empty()) norm.bias.assign(D, 0.0f);
    for (size_t i = 0; i < D; ++i) {
      norm.weight[i] *= 1.0f + scale[i];
      norm.bias[i] = norm.bias[i] * (1.0f + scale[i]) + shift[i];
    }
  }

  Block block(int64_t i) {
    const std::string name = "blocks." + std::to_string(i) + ".";
    const int64_t D = c.width, F = c.mlp_width, rows = c.heads * c.head_dim;
    Block b;
    if (i > 0 || c.first_norm) b.norm1 = norm(name + "norm1");
    if (c.qk_norm) {
      b.q_norm = norm(name + "q_norm", c.qk_norm_whole ? rows : c.head_dim, false);
      b.k_norm = norm(name + "k_norm", c.qk_norm_whole ? c.kv_heads * c.head_dim : c.head_dim, false);
    }
    b.norm2 = norm(name + "norm2");
    std::vector<float> mods;
    if (c.conditioning == Conditioning::kTime) b.ada = plain(name + "ada", 6 * D, c.cond_dim, true, DType::kFloat32);
    if (c.conditioning == Conditioning::kConstant) {
      mods = constant(name + "ada", 6 * D);
      fold(b.norm1, mods.data(), mods.data() + D);
      fold(b.norm2, mods.data() + 3 * D, mods.data() + 4 * D);
    }
    b.q = heads(name + "qkv", 0, c.heads);
    b.kv = heads(name + "qkv", c.heads, 2 * c.kv_heads);
    b.out = plain(name + "out", D, rows, c.out_bias, dtype, mods.empty() ? nullptr : mods.data() + 2 * D);
    const int64_t in_rows = c.gated ? 2 * F : F;
    const Parameter &in = read.need(name + "mlp_in.weight", in_rows, D),
                    &out = read.need(name + "mlp_out.weight", D, F);
    b.mlp =
        ops::pack_mlp(name.c_str(), c.gated, in, read.bias(name + "mlp_in", in_rows, c.mlp_bias), out,
                      read.bias(name + "mlp_out", D, c.mlp_bias), dtype, mods.empty() ? nullptr : mods.data() + 5 * D);
    b.mlp.erf = c.gelu_erf;
    return b;
  }

  void conditioning(Weights& w) {
    TimeNetwork network = time_network(c, read);
    if (c.conditioning == Conditioning::kConstant) {
      cond = constant_condition(network);
      return;
    }
    w.time_in = std::move(network.in);
    w.time_out = std::move(network.out);
    w.ada_final = plain("ada_final", 2 * c.width, c.cond_dim, true, DType::kFloat32);
  }
};

int64_t norm_bytes(const ops::Norm& n) { return static_cast<int64_t>(n.weight.size() + n.bias.size()) * 4; }

}  // namespace

int64_t Weights::bytes() const {
  int64_t total = embed.rows * embed.columns * static_cast<int64_t>(element_size(embed.dtype));
  for (const Block& b : blocks)
    total += b.q.bytes() + b.kv.bytes() + b.out.bytes() + b.mlp.in.bytes() + b.mlp.out.bytes() + b.ada.bytes() +
             norm_bytes(b.norm1) + norm_bytes(b.norm2) + norm_bytes(b.q_norm) + norm_bytes(b.k_norm);
  total +=
      embed_map.bytes() + static_cast<int64_t>(positions.size()) * 4 + norm_bytes(embed_norm) + norm_bytes(head_norm);
  return total + head_dense.bytes() + norm_bytes(norm_final) + head.bytes() + time_in.bytes() + time_out.bytes() +
         ada_final.bytes();
}

void Weights::chain() {
  ops::Packed* last = nullptr;
  const auto add = [&](ops::Packed& layer) {
    if (last != nullptr) last->then = &layer;
    last = &layer;
  };
  for (Block& b : blocks)
    for (ops::Packed* layer : {&b.kv, &b.q, &b.out, &b.mlp.in, &b.mlp.out}) add(*layer);
  if (head_dense.panels > 0) add(head_dense);
  add(head);
}

Weights make_weights(const Config& config, const Parameters& parameters, DType dtype) {
  Maker make{config, Reader(parameters), dtype, {}};
  Weights w;
  const int64_t E = config.embed_dim;
  w.embed = make.read.need("embed.weight", config.embed_rows(), E);
  check(w.embed.parts.empty(), "engine", "parameter embed.weight must be one tensor");
  check_finite("embed.weight", w.embed);
  if (config.conditioning != Conditioning::kNone) make.conditioning(w);
  for (int64_t i = 0; i < config.blocks(); ++i) w.blocks.push_back(make.block(i));
  if (config.learned_positions) w.positions = make.read.floats("positions.weight", config.length, E);
  if (config.embed_norm) w.embed_norm = make.norm("embed_norm", E, config.norm_bias);
  if (E != config.width) w.embed_map = make.plain("embed_map", config.width, E, true, dtype);
  if (!config.post_norm) w.norm_final = make.norm("norm_final");
  if (config.head_transform) {
    w.head_dense = make.plain("head_dense", E, config.width, true, dtype);
    w.head_norm = make.norm("head_norm", E, config.norm_bias);
  }
  if (config.conditioning == Conditioning::kConstant) {
    const std::vector<float> mods = make.constant("ada_final", 2 * config.width);
    Maker::fold(w.norm_final, mods.data(), mods.data() + config.width);
  }
  ops::PackPlan plan;
  plan.out = config.vocab_size;
  const Parameter& head = config.tied_head ? w.embed : make.read.need("head.weight", config.vocab_size, E);
  w.head = ops::pack("head", head, make.read.bias("head", config.vocab_size, config.head_bias), dtype, plan);
  make.read.finish();
  return w;
}

}  // namespace pymdm::model
