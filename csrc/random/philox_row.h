// Computes Philox of counters (block, event, sequence, word purpose) that differ in `block` only; what does not depend
// on it is worked out once. After the first round only c varies, after the second only a and c.
#pragma once

#include <cstdint>

#include "core/hostdev.h"
#include "random/philox.h"

namespace pymdm {

struct Product {
  uint32_t low, high;
};

// The 64-bit product of two words, as two words. On a device by one instruction and no more: from q >> 32 of a 64-bit
// q the compiler makes an addition of zero to each high half, 16 in a block of Philox.
PYMDM_HD Product product_of(uint32_t a, uint32_t b) {
#if defined(__CUDA_ARCH__)
  Product p;
  asm("{\n\t.reg .b64 t;\n\tmul.wide.u32 t, %2, %3;\n\tmov.b64 {%0, %1}, t;\n\t}"
      : "=r"(p.low), "=r"(p.high)
      : "r"(a), "r"(b));
  return p;
#else
  const uint64_t p = uint64_t{a} * b;
  return {static_cast<uint32_t>(p), static_cast<uint32_t>(p >> 32)};
#endif
}

struct PhiloxRow {
  Key2 key;                  // of round 0
  uint32_t c1;               // round 1: c = hi(M0 block) ^ c1
  uint32_t a2, c2, d2;       // round 2: a = hi(M1 c) ^ a2, c = lo(M0 block) ^ c2, d = d2
  uint32_t first_block = 0;  // where the caller starts
};

PYMDM_HD PhiloxRow philox_row(Key2 key, Words4 counter) {
  PhiloxRow p;
  p.key = key;
  // Round 1: a = hi(M1 c) ^ b ^ k0, b = lo(M1 c), c = hi(M0 a) ^ d ^ k1, d = lo(M0 a), with a the block.
  const uint64_t m1 = uint64_t{kPhiloxM1} * counter.w[2];
  const uint32_t a1 = static_cast<uint32_t>(m1 >> 32) ^ counter.w[1] ^ key.k0;
  p.c1 = counter.w[3] ^ key.k1;
  const uint64_t m0 = uint64_t{kPhiloxM0} * a1;
  p.a2 = static_cast<uint32_t>(m1) ^ (key.k0 + kPhiloxW0);
  p.c2 = static_cast<uint32_t>(m0 >> 32) ^ (key.k1 + kPhiloxW1);
  p.d2 = static_cast<uint32_t>(m0);
  p.first_block = counter.w[0];
  return p;
}

// The four words of one block: philox() of the counter with w[0] = block, from its first product, kPhiloxM0 block. A
// caller with many blocks adds to that rather than multiply.
PYMDM_HD Words4 philox_block_of(const PhiloxRow& p, Product p0) {
  const Product p1 = product_of(p0.high ^ p.c1, kPhiloxM1);
  uint32_t a = p1.high ^ p.a2, b = p1.low;
  uint32_t c = p0.low ^ p.c2, d = p.d2;
#if defined(__CUDACC__)
#pragma unroll
#endif
  for (uint32_t round = 2; round < 10; ++round) {
    const Product q0 = product_of(a, kPhiloxM0), q1 = product_of(c, kPhiloxM1);
    a = q1.high ^ b ^ (p.key.k0 + round * kPhiloxW0);
    b = q1.low;
    c = q0.high ^ d ^ (p.key.k1 + round * kPhiloxW1);
    d = q0.low;
  }
  return Words4{{a, b, c, d}};
}

PYMDM_HD Words4 philox_block(const PhiloxRow& p, uint32_t block) {
  return philox_block_of(p, product_of(block, kPhiloxM0));
}

}  // namespace pymdm
