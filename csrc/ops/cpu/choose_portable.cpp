// Chooses on any processor: vectors are arrays of 4 counters that the compiler may put into registers.
#include "ops/convert.h"
#include "ops/cpu/choose_search.h"

namespace pymdm::ops {
namespace {

struct Isa {
  static constexpr int kBlocks = 4, kStreams = 2;
  struct U {
    uint64_t w[4];
  };
  struct F {
    float x[8];
  };
  using Flag = bool;

  template <class Make>
  static U each(Make&& make) {
    return U{{make(0), make(1), make(2), make(3)}};
  }
  static uint32_t low(uint64_t a) { return static_cast<uint32_t>(a); }
  static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

  static U blocks(uint32_t first) {
    return each([=](int i) -> uint64_t { return uint64_t{first} + i; });
  }
  static U add(U a, int64_t n) {
    return each([=](int i) { return a.w[i] + n; });
  }
  static U word(uint32_t w) {
    return each([=](int) -> uint64_t { return uint64_t{w} << 32 | w; });
  }
  static U mul0(U a) {
    return each([=](int i) -> uint64_t { return uint64_t{low(a.w[i])} * kPhiloxM0; });
  }
  static U mul1(U a) {
    return each([=](int i) -> uint64_t { return uint64_t{low(a.w[i])} * kPhiloxM1; });
  }
  static U high(U a) {
    return each([=](int i) -> uint64_t { return a.w[i] >> 32; });
  }
  static U flip(U a, uint32_t k) {
    return each([=](int i) -> uint64_t { return a.w[i] ^ k; });
  }
  static U flip(U a, U b, uint32_t k) {
    return each([=](int i) -> uint64_t { return a.w[i] ^ b.w[i] ^ k; });
  }
  // Low half: high word of the product, xor b, xor k; high half: low word of the product.
  static U pack(U product, U b, uint32_t k) {
    return each([=](int i) -> uint64_t { return (product.w[i] >> 32 ^ low(b.w[i]) ^ k) | product.w[i] << 32; });
  }
  static U min(U a, U b) {  // of each half
    return each([=](int i) -> uint64_t {
      return smaller(a.w[i] >> 32, b.w[i] >> 32) << 32 | smaller(low(a.w[i]), low(b.w[i]));
    });
  }
  static bool any_at_most(U a, U limits) {
    bool any = false;
    for (int i = 0; i < 8; ++i) any |= lane(a, i) <= lane(limits, i);
    return any;
  }
  // Words of the first and of the next 8 columns: counters 0 1 and 2 3, words a b c d of each.
  static U even(U ab, U cd) { return U{{ab.w[0], cd.w[0], ab.w[1], cd.w[1]}}; }
  static U odd(U ab, U cd) { return U{{ab.w[2], cd.w[2], ab.w[3], cd.w[3]}}; }
  static uint32_t lane(U a, int i) { return low(a.w[i / 2] >> (i % 2 * 32)); }
  static void store(uint32_t* out, U a) {
    for (int i = 0; i < 8; ++i) out[i] = lane(a, i);
  }

  static F all(float x) { return F{{x, x, x, x, x, x, x, x}}; }
  static F max(F a, F b) {
    F out;
    for (int i = 0; i < 8; ++i) out.x[i] = a.x[i] > b.x[i] ? a.x[i] : b.x[i];
    return out;
  }
  static float largest(F a) {
    float out = a.x[0];
    for (int i = 1; i < 8; ++i) out = a.x[i] > out ? a.x[i] : out;
    return out;
  }
  static Flag no_flag() { return false; }
  static Flag unordered(Flag flag, F a, F b) {
    for (int i = 0; i < 8; ++i) flag |= __builtin_isunordered(a.x[i], b.x[i]);
    return flag;
  }
  static bool any(Flag flag) { return flag; }
  static F ban(F x, const uint8_t* banned) {
    for (int i = 0; i < 8; ++i) x.x[i] = banned[i] ? -INFINITY : x.x[i];
    return x;
  }
  static uint32_t keep(F x, U words, float slope, float cut) {
    uint32_t out = 0;
    for (int i = 0; i < 8; ++i)
      out |= static_cast<uint32_t>(!(x.x[i] - static_cast<float>(chord_bits(lane(words, i))) * slope < cut)) << i;
    return out;
  }

  // Largest logits of the columns whose words share a half of ab and cd, in the
  // order of those halves.
  static F by_word(F even, F odd) {
    F out;
    for (int i = 0; i < 8; ++i) {
      const float* four = (i < 4 ? even.x : odd.x) + i / 2 % 2 * 4 + i % 2;
      out.x[i] = four[0] > four[2] ? four[0] : four[2];
    }
    return out;
  }
  static U limits(F most, float scale, float offset) {
    uint64_t limit[8];
    for (int i = 0; i < 8; ++i) {
      const float z = most.x[i] * scale + offset + 1e-4f;  // more than its rounding
      limit[i] = word_limit(z);
    }
    return each([&](int i) -> uint64_t { return limit[2 * i + 1] << 32 | limit[2 * i]; });
  }

  template <DType kType>
  static F load(const void* p) {
    F out;
    for (int i = 0; i < 8; ++i) out.x[i] = static_cast<float>(load_element(p, kType, i));
    return out;
  }
};

}  // namespace
}  // namespace pymdm::ops

#include "ops/cpu/choose_row.h"

namespace pymdm::ops {

const SearchKernels& search_portable() {
  static constexpr SearchKernels kernels{search_any, extent_any, words_any};
  return kernels;
}

}  // namespace pymdm::ops
