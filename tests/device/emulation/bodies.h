// The bodies of the device network and of the first-hitting step: emulated threads and warps beside the walk, bit for
// bit, on random input of odd sizes.
#pragma once

#include <random>
#include <vector>

#include "core/launch.h"
#include "ops/device_norm.h"
#include "ops/device_rows.h"
#include "sample/first_hitting_step.h"

namespace bodies {

using namespace pymdm;
using namespace pymdm::ops;

struct Cases {
  std::mt19937_64 random;
  int64_t total = 0, differ = 0;

  template <class T>
  std::vector<T> noise(int64_t n) {
    std::normal_distribution<float> normal;
    std::vector<T> out(n);
    for (T& v : out) set_element(v, normal(random));
    return out;
  }
  template <class T>
  std::vector<T> below(int64_t n, uint64_t bound) {
    std::vector<T> out(n);
    for (T& v : out) v = static_cast<T>(random() % bound);
    return out;
  }
  void count(bool same) { ++total, differ += !same; }

  // A body on a grid; `out` is its member that is written.
  template <class Body, class T>
  void grid(int64_t rows, int64_t columns, Body body, T* Body::*out, const std::vector<T>& start) {
    std::vector<T> a = start, b = start;
    body.*out = a.data(), launch_grid(kEmulated, rows, columns, body);
    body.*out = b.data(), launch_grid(Where{}, rows, columns, body);
    count(std::memcmp(a.data(), b.data(), sizeof(T) * a.size()) == 0 && a != start);
  }
};

template <class T, class Out>
void add_norm(Cases& c, int64_t m, int64_t width, bool centred, bool extra) {
  const auto start = c.noise<float>(m * width), vectors = c.noise<float>(3 * width), mods = c.noise<float>(18 * width);
  const auto y = c.noise<T>(m * width);
  const auto sequence = c.below<int32_t>(m, 3);
  const auto rows = c.below<int64_t>(m, m);
  AddNorm<T, Out> body{};
  body.weight = vectors.data(), body.width = width, body.centred = centred, body.eps = 1e-5f;
  if (extra) {
    body.y = y.data(), body.bias = vectors.data() + width, body.norm_bias = vectors.data() + 2 * width;
    body.gate = mods.data(), body.shift = mods.data() + width, body.scale = mods.data() + 2 * width;
    body.gate_stride = body.stride = 6 * width, body.sequence = sequence.data(), body.rows = rows.data();
  }
  std::vector<float> x[2] = {start, start};
  std::vector<Out> out[2] = {std::vector<Out>(m * width), std::vector<Out>(m * width)};
  for (int i = 0; i < 2; ++i) {
    body.x = x[i].data(), body.out = out[i].data();
    launch_warps(i == 0 ? kEmulated : Where{}, m, body);
  }
  c.count(out[0] == out[1] && x[0] == x[1]);
}

template <class T>
void elementwise(Cases& c, int64_t m, int64_t width) {
  const auto bias = c.noise<float>(2 * width);
  const auto in = c.noise<T>(2 * m * width);
  const auto ids = c.below<int64_t>(m, m);
  c.grid(m, packs(width), Gelu<T>{nullptr, bias.data(), width}, &Gelu<T>::x, c.noise<T>(m * width));
  c.grid(m, packs(width), Gelu<T>{nullptr, nullptr, width}, &Gelu<T>::x, c.noise<T>(m * width));
  c.grid(m, packs(width), Swiglu<T>{in.data(), bias.data(), nullptr, width}, &Swiglu<T>::out,
         std::vector<T>(m * width));
  c.grid(m, packs(width), Gather<T>{in.data(), ids.data(), nullptr, width}, &Gather<T>::out, std::vector<T>(m * width));
  c.grid(m, packs(width), Embed<T>{in.data(), ids.data(), nullptr, width}, &Embed<T>::out,
         std::vector<float>(m * width));
}

template <class T>
void rotate(Cases& c, int64_t m, int64_t head_dim) {
  const int64_t heads = 5, length = 40, half = head_dim / 2;
  const auto bias = c.noise<float>(heads * head_dim), angles = c.noise<float>(2 * length * half);
  const auto position = c.below<int32_t>(m, length);
  const auto rows = c.below<int64_t>(m, m);
  for (const bool extra : {false, true}) {
    const Rotate<T> body{nullptr, extra ? bias.data() : nullptr, angles.data(), angles.data() + length * half,
                         position.data(), extra ? rows.data() : nullptr, heads, 3, head_dim};
    c.grid(m, body.touched() * packs(half), body, &Rotate<T>::heads, c.noise<T>(m * heads * head_dim));
  }
}

inline void rows(uint64_t seed, int64_t* out) {
  Cases c;
  c.random.seed(seed);
  for (const int64_t m : {1, 7, 33})
    for (const int64_t width : {1, 8, 44, 768, 1000, 1024, 1300})  // up to 1,024 columns a row is held, then read again
      for (int form = 0; form < 4; ++form) {
        add_norm<float, float>(c, m, width, form & 1, form & 2);
        add_norm<uint16_t, uint16_t>(c, m, width, form & 1, form & 2);
        add_norm<uint16_t, float>(c, m, width, form & 1, form & 2);
      }
  for (const int64_t m : {1, 9, 1030})
    for (const int64_t width : {7, 53, 128}) elementwise<float>(c, m, width), elementwise<uint16_t>(c, m, width);
  for (const int64_t m : {3, 50})
    for (const int64_t head_dim : {2, 22, 64}) rotate<float>(c, m, head_dim), rotate<uint16_t>(c, m, head_dim);
  out[0] = c.total, out[1] = c.differ;
}

// What a step works on.
struct Memory {
  std::vector<int64_t> tokens, rank, unmasked, remaining, event, nfe, bad, row, source, token;
  std::vector<double> hit, masked, row_masked;
  std::vector<uint64_t> row_sequence;
  std::vector<uint32_t> row_event;
  std::vector<int32_t> valid;

  Memory(std::vector<int64_t> start, int64_t A, int64_t M)
      : tokens(std::move(start)), rank(tokens.size(), -1), unmasked(A), remaining(A, 50), event(A, 3), nfe(A), bad(A),
        row(M), source(M), token(M, 7), hit(tokens.size()), masked(A, 0.9), row_masked(M), row_sequence(M), row_event(M),
        valid(M) {}

  bool operator==(const Memory& o) const {
    return tokens == o.tokens && rank == o.rank && unmasked == o.unmasked && remaining == o.remaining &&
           event == o.event && nfe == o.nfe && bad == o.bad && row == o.row && source == o.source && hit == o.hit &&
           masked == o.masked && row_masked == o.row_masked && row_sequence == o.row_sequence &&
           row_event == o.row_event && valid == o.valid;
  }
};

inline void step(uint64_t seed, int64_t* out) {
  Cases c;
  c.random.seed(seed);
  for (int round = 0; round < 60; ++round) {
    const int64_t A = 1 + static_cast<int64_t>(c.random() % 11), per_call = round % 3 + 1, id = round % 2 ? 0 : 99;
    std::vector<int64_t> offsets{0};
    for (int64_t a = 0; a < A; ++a) offsets.push_back(offsets.back() + 1 + static_cast<int64_t>(c.random() % 100));
    std::vector<int64_t> tokens(offsets.back());
    for (int64_t& t : tokens) t = c.random() % 3 ? id : 5;
    if (round % 5 == 0) std::fill(tokens.begin(), tokens.begin() + offsets[1], 5);  // nothing to draw
    const std::vector<uint64_t> ids = c.below<uint64_t>(A, uint64_t{1} << 56);
    const uint64_t key = c.random();
    Memory memory[2] = {{tokens, A, A * per_call}, {tokens, A, A * per_call}};
    for (int call = 0; call < 5; ++call)
      for (int i = 0; i < 2; ++i) {
        Memory& m = memory[i];
        if (call == 4) m.token.back() = -1;  // a row that could not be drawn from
        sample::StepState s;
        s.per_call = per_call, s.mask_id = id, s.shift = round % 3 == 0, s.seed = &key, s.offsets = offsets.data();
        s.sequence = ids.data(), s.tokens = m.tokens.data(), s.rank = m.rank.data(), s.hit = m.hit.data();
        s.unmasked = m.unmasked.data(), s.remaining = m.remaining.data(), s.event = m.event.data();
        s.nfe = m.nfe.data(), s.bad = m.bad.data(), s.masked = m.masked.data(), s.row = m.row.data();
        s.source = m.source.data(), s.row_sequence = m.row_sequence.data(), s.row_event = m.row_event.data();
        s.row_masked = m.row_masked.data(), s.valid = m.valid.data(), s.token = m.token.data();
        launch_warps(i == 0 ? kEmulated : Where{}, A, sample::PlanStep{s});
        launch_grid(i == 0 ? kEmulated : Where{}, A, 1, sample::WriteStep{s});
      }
    c.count(memory[0] == memory[1] && !(memory[0] == Memory(tokens, A, A * per_call)));
  }
  out[0] = c.total, out[1] = c.differ;
}

}  // namespace bodies
