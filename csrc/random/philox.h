// Philox4x32-10 (Salmon et al., SC 2011) is a block cipher used as a random function of a counter.
#pragma once

#include <cstdint>

#include "core/hostdev.h"

namespace pymdm {

struct Words4 {
  uint32_t w[4];
};

struct Key2 {
  uint32_t k0, k1;
};

constexpr uint32_t kPhiloxM0 = 0xD2511F53u, kPhiloxM1 = 0xCD9E8D57u;  // round multipliers
constexpr uint32_t kPhiloxW0 = 0x9E3779B9u, kPhiloxW1 = 0xBB67AE85u;  // key increments

PYMDM_HD Words4 philox(Words4 counter, Key2 key) {
  uint32_t a = counter.w[0], b = counter.w[1], c = counter.w[2], d = counter.w[3];
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(kPhiloxM0) * a;
    const uint64_t p1 = static_cast<uint64_t>(kPhiloxM1) * c;
    a = static_cast<uint32_t>(p1 >> 32) ^ b ^ key.k0;
    b = static_cast<uint32_t>(p1);
    c = static_cast<uint32_t>(p0 >> 32) ^ d ^ key.k1;
    d = static_cast<uint32_t>(p0);
    key.k0 += kPhiloxW0;
    key.k1 += kPhiloxW1;
  }
  return Words4{{a, b, c, d}};
}

}  // namespace pymdm
