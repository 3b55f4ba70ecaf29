#include "device/weights.h"

#include <ATen/ops/cat.h>

#include "core/error.h"
#include "ops/attention.h"

namespace pymdm::device {
namespace {

struct Maker {
  const model::Config& c;
  model::Reader read;
  at::ScalarType type;
  at::Device device;
  int64_t bytes = 0;

  static at::Tensor host(const ops::Parameter& p) {
    return at::from_blob(const_cast<void*>(p.data), {p.rows, p.columns},
                         at::TensorOptions().dtype(scalar_type(p.dtype)));
  }
  // The parameter itself, never the caller's memory.
  at::Tensor tensor(const std::string& name, const ops::Parameter& p, at::ScalarType to) {
    model::check_finite(name, p);
    bytes += p.rows * p.columns * static_cast<int64_t>(at::elementSize(to));
    if (p.parts.empty()) return host(p).to(device, to, false, true);
    std::vector<at::Tensor> parts;
    for (const ops::Parameter& part : p.parts) parts.push_back(host(part).to(device, to));
    return at::cat(parts);
  }
  at::Tensor vector(const std::string& name, int64_t rows) {
    return tensor(name, read.need(name, rows), at::kFloat).flatten();
  }
  Linear linear(const std::string& name, int64_t out, int64_t in, bool bias, at::ScalarType to) {
    const at::Tensor weight = tensor(name + ".weight", read.need(name + ".weight", out, in), to);
    return {weight, bias ? vector(name + ".bias", out) : at::Tensor()};
  }
  Norm norm(const std::string& name) {
    const at::Tensor weight = vector(name + ".weight", c.width);
    return {weight, c.norm_bias ? vector(name + ".bias", c.width) : at::Tensor()};
  }
  static Linear rows(const Linear& layer, int64_t first, int64_t count) {
    return {layer.weight.narrow(0, first, count),
            layer.bias.defined() ? layer.bias.narrow(0, first, count) : layer.bias};
  }

  Block block(int64_t i) {
    const std::string name = "blocks." + std::to_string(i) + ".";
    const int64_t D = c.width, F = c.mlp_width, queries = c.heads * c.head_dim, keys = c.kv_heads * c.head_dim;
    Block b;
    b.norm1 = norm(name + "norm1");
    b.norm2 = norm(name + "norm2");
    if (c.conditioning != model::Conditioning::kNone) b.ada = linear(name + "ada", 6 * D, c.cond_dim, true, at::kFloat);
    b.qkv = linear(name + "qkv", queries + 2 * keys, D, c.qkv_bias, type);
    b.q = rows(b.qkv, 0, queries);
    b.kv = rows(b.qkv, queries, 2 * keys);
    b.out = linear(name + "out", D, queries, c.out_bias, type);
    b.mlp_in = linear(name + "mlp_in", c.gated ? 2 * F : F, D, c.mlp_bias, type);
    if (c.mlp_bias && !c.gated) b.mlp_in_bias = b.mlp_in.bias.to(type);
    b.mlp_out = linear(name + "mlp_out", D, F, c.mlp_bias, type);
    return b;
  }
};

}  // namespace

Weights make_weights(const model::Config& c, const model::Parameters& parameters, DType dtype,
                     const at::Device& device) {
  check(!c.gelu_erf && !c.post_norm && !c.learned_positions && !c.embed_norm && !c.head_transform && !c.token_dropout &&
            !c.qk_norm && c.window == 0 && c.first_norm && !c.shared_layers && c.embed_dim == c.width &&
            c.heads * c.head_dim == c.width && c.yarn == 1,
        "engine",
        "this network's switches (gelu_erf, geglu, post_norm, learned positions, embed_norm, head_transform, ",
        "token_dropout, qk_norm, window, first_norm, shared_layers, embed_dim, head_dim, yarn) are computed on the CPU "
        "only");
  Maker make{c, model::Reader(parameters), scalar_type(dtype), device};
  Weights w;
  const ops::Parameter& embed = make.read.need("embed.weight", c.embed_rows(), c.width);
  w.embed = make.tensor("embed.weight", embed, embed.dtype == DType::kBFloat16 ? at::kBFloat16 : at::kFloat);
  if (c.conditioning != model::Conditioning::kNone) {
    w.time = model::time_network(c, make.read);
    w.ada_final = make.linear("ada_final", 2 * c.width, c.cond_dim, true, at::kFloat);
  }
  for (int64_t i = 0; i < c.layers; ++i) w.blocks.push_back(make.block(i));
  w.norm_final = make.norm("norm_final");
  w.head = c.tied_head ? Linear{w.embed.narrow(0, 0, c.vocab_size).to(at::kFloat),
                                c.head_bias ? make.vector("head.bias", c.vocab_size) : at::Tensor()}
                       : make.linear("head", c.vocab_size, c.width, c.head_bias, at::kFloat);
  make.read.finish();
  const ops::Rotary angles = ops::rotary(c.length, c.head_dim, c.rope_base);
  w.cos = upload(angles.cos, at::kFloat, device);
  w.sin = upload(angles.sin, at::kFloat, device);
  w.bytes = make.bytes;
  return w;
}

}  // namespace pymdm::device
