// Draws one of the masked positions uniformly, without bias. Never sees logits.
#pragma once

#include <cstdint>

#include "core/hostdev.h"
#include "random/address.h"

namespace pymdm {

// Uniform integer on 0 .. n - 1: the high half of r * n, rejecting the few r that would make some values more likely
// (probability below n / 2^64 a try). Index j of the address counts the tries.
PYMDM_HD uint64_t uniform_integer(uint64_t n, uint64_t seed, uint64_t sequence, uint32_t event, Purpose purpose) {
  const uint64_t threshold = (0 - n) % n;
  for (uint64_t j = 0;; ++j) {
    const unsigned __int128 product =
        static_cast<unsigned __int128>(random_bits(seed, sequence, event, purpose, j)) * n;
    if (static_cast<uint64_t>(product) >= threshold) return static_cast<uint64_t>(product >> 64);
  }
}

}  // namespace pymdm
