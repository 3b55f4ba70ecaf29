// Philox of counters (block, event, sequence, word purpose) that differ in `block` only, with what does not depend on
// it worked out once: after the first round only c varies, after the second only a and c.
#pragma once

#include <cstdint>

#include "core/hostdev.h"
#include "random/philox.h"

namespace pymdm {

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

// The four words of one block: philox() of the counter with w[0] = block.
PYMDM_HD Words4 philox_block(const PhiloxRow& p, uint32_t block) {
  const uint64_t p0 = uint64_t{kPhiloxM0} * block;
  const uint64_t p1 = uint64_t{kPhiloxM1} * (static_cast<uint32_t>(p0 >> 32) ^ p.c1);
  uint32_t a = static_cast<uint32_t>(p1 >> 32) ^ p.a2, b = static_cast<uint32_t>(p1);
  uint32_t c = static_cast<uint32_t>(p0) ^ p.c2, d = p.d2;
#if defined(__CUDACC__)
#pragma unroll
#endif
  for (uint32_t round = 2; round < 10; ++round) {
    const uint64_t q0 = uint64_t{kPhiloxM0} * a, q1 = uint64_t{kPhiloxM1} * c;
    a = static_cast<uint32_t>(q1 >> 32) ^ b ^ (p.key.k0 + round * kPhiloxW0);
    b = static_cast<uint32_t>(q1);
    c = static_cast<uint32_t>(q0 >> 32) ^ d ^ (p.key.k1 + round * kPhiloxW1);
    d = static_cast<uint32_t>(q0);
  }
  return Words4{{a, b, c, d}};
}

}  // namespace pymdm
