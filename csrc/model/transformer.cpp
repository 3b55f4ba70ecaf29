#include "model/transformer.h"

#include "model/conditioning.h"
#include "ops/gather.h"

namespace pymdm::model {
namespace {

template <class T>
Span<const T> view(const std::vector<T>& v) {
  return {v.data(), static_cast<int64_t>(v.size())};
}

}  // namespace

// The rows that act as queries: all tokens, or in the last block the chosen ones.
struct Transformer::Rows {
  int64_t count;
  ops::Matrix x, h;
  const int32_t *sequence, *position;
  const ops::Sight* sights;
  Span<const ops::QuerySpan> spans;
};

// x = norm(embedding + position) W^T + b, each where the network has it.
void Transformer::embed(const Batch& batch) {
  Workspace& w = workspace_;
  const int64_t T = static_cast<int64_t>(layout_.tokens.size()), E = config_.embed_dim;
  const ops::Matrix& x = E == config_.width ? w.x : w.narrow;
  ops::embed(weights_.embed, view(layout_.tokens), x);
  if (config_.token_dropout) {
    std::vector<float> factors(T, 0.0f);
    for (int64_t b = 0; b + 1 < batch.offsets.size; ++b) {
      const int64_t begin = batch.offsets[b], end = batch.offsets[b + 1];
      int64_t masks = 0;
      for (int64_t i = begin; i < end; ++i) masks += batch.tokens[i] == config_.mask_id;
      const double share = static_cast<double>(masks) / static_cast<double>(end - begin);
      for (int64_t i = begin; i < end; ++i)
        if (batch.tokens[i] != config_.mask_id) factors[i] = static_cast<float>(0.88 / (1.0 - share));
    }
    ops::scale_rows(factors, E, x);
  }
  if (config_.learned_positions) ops::add_rows(weights_.positions.data(), layout_.position.data(), T, E, x);
  if (config_.embed_norm) ops::norm(weights_.embed_norm, {}, x, T, x);
  if (E == config_.width) return;
  ops::convert(x, T, E, w.narrow_h);
  ops::linear(weights_.embed_map, w.narrow_h, T, w.x);
}

// x += gate1 * out(attention(mod1(norm1 x))),  x += gate2 * mlp(mod2(norm2 x))
// With post-norm: x = norm1(x + out(attention(x))),  x = norm2(x + mlp(x))
// Keys and values are of every token; everything else only of the rows that are wanted afterwards.
void Transformer::block(int64_t layer, const Rows& r, const ops::KeyValues& kv) {
  Workspace& w = workspace_;
  const Block& block = weights_.blocks[config_.shared_layers ? 0 : layer];
  const bool local = config_.local(layer);
  const ops::Rotary& rotary = local && !config_.learned_positions ? local_rotary_ : rotary_;
  const auto normed = [&](const ops::Norm& norm) {
    if (!config_.qk_norm) return ops::HeadNorm{};
    return ops::HeadNorm{&norm, config_.qk_norm_whole ? w.heads : ops::Matrix{}};
  };
  const int64_t T = static_cast<int64_t>(layout_.sequence.size()), D = config_.width;
  const bool timed = config_.conditioning == Conditioning::kTime;
  const float* mods = static_cast<const float*>(w.mods.data);
  const auto modulation = [&](int64_t chunk, const int32_t* sequence) {
    return timed ? ops::Modulation{mods + chunk * D, mods + (chunk + 1) * D, w.mods.stride, sequence}
                 : ops::Modulation{};
  };
  const auto gates = [&](int64_t chunk) {
    return timed ? ops::Gates{mods + chunk * D, w.mods.stride, r.sequence} : ops::Gates{};
  };
  if (timed) ops::linear(block.ada, w.condition, static_cast<int64_t>(layout_.all.size()), w.mods);

  const bool post = config_.post_norm;
  if (block.norm1.weight.empty() || post)
    ops::convert(w.x, T, D, w.h);
  else
    ops::norm(block.norm1, modulation(0, layout_.sequence.data()), w.x, T, w.h);
  ops::keys_values(block.kv, w.h, T, rotary, {layout_.position.data(), layout_.slot.data()}, normed(block.k_norm), kv,
                   w.beside);
  if (r.x.data != w.x.data) {
    ops::gather(w.x, view(layout_.rows), D, r.x);
    ops::gather(w.h, view(layout_.rows), D, r.h);
  }
  ops::queries(block.q, r.h, r.count, kv.shape, rotary, {r.position, nullptr}, normed(block.q_norm), w.q);
  ops::attention(w.q, kv, w.beside, r.spans, r.sights, {local ? config_.window : 0, r.position}, w.o);
  ops::linear_residual(block.out, w.o, r.count, gates(2), r.x);
  if (post) {
    ops::norm(block.norm1, {}, r.x, r.count, r.x);
    ops::convert(r.x, r.count, D, r.h);
  } else {
    ops::norm(block.norm2, modulation(3, r.sequence), r.x, r.count, r.h);
  }
  ops::mlp_residual(block.mlp, r.h, r.count, gates(5), w.hidden, r.x);
  if (post) ops::norm(block.norm2, {}, r.x, r.count, r.x);
}

void Transformer::forward(const Batch& batch, float* logits, int64_t stride, Cache* cache) {
  if (batch.rows.size == 0) return;
  Workspace& w = workspace_;
  layout_.fit(config_, batch, cache);
  const int64_t T = static_cast<int64_t>(layout_.tokens.size()), D = config_.width;
  const int64_t M = batch.rows.size, B = batch.offsets.size - 1;
  w.fit(config_, dtype_, weights_.blocks[0].mlp.hidden(), T, M, B, layout_.slots, layout_.beside);
  ops::clear_padding(w.kv, view(layout_.slot_end));
  const bool timed = config_.conditioning == Conditioning::kTime;
  if (timed)
    condition(weights_.time_in, weights_.time_out, config_.sigma_input, batch.times, w.condition_hidden, w.condition);

  const Rows all{
      T, w.x, w.h, layout_.sequence.data(), layout_.position.data(), layout_.sight.data(), view(layout_.all)};
  const Rows chosen{M,
                    w.chosen,
                    w.chosen_h,
                    layout_.chosen_sequence.data(),
                    layout_.chosen_position.data(),
                    layout_.chosen_sight.data(),
                    view(layout_.chosen)};
  embed(batch);
  for (int64_t i = 0; i < config_.layers; ++i)
    block(i, i + 1 < config_.layers ? all : chosen, cache != nullptr ? cache->layer(i) : w.kv);

  ops::Modulation last;
  if (timed) {
    ops::linear(weights_.ada_final, w.condition, B, w.mods);
    const float* mods = static_cast<const float*>(w.mods.data);
    last = {mods, mods + D, w.mods.stride, chosen.sequence};
  }
  if (config_.post_norm)
    ops::convert(chosen.x, M, D, chosen.h);
  else
    ops::norm(weights_.norm_final, last, chosen.x, M, chosen.h);
  ops::Matrix hidden = chosen.h;
  if (config_.head_transform) {
    const bool narrow = config_.embed_dim != D;
    const ops::Matrix& dense = narrow ? w.narrow : chosen.x;
    ops::linear_gelu(weights_.head_dense, config_.head_erf(), chosen.h, M, dense);
    if (narrow) hidden = w.narrow_h;
    ops::norm(weights_.head_norm, {}, dense, M, hidden);
  }
  if (!layout_.in_order) {
    ops::gather(hidden, view(layout_.place), weights_.head.in, w.h);
    hidden = w.h;
  }
  ops::linear(weights_.head, hidden, M, {logits, stride, DType::kFloat32});
}

}  // namespace pymdm::model
