// The kernel functor by which tests compare the random bits of a device with those of the CPU. Host and device.
#pragma once

#include <cstdint>

#include "core/hostdev.h"
#include "random/address.h"

namespace pymdm::sample {

// out[i] = the 64-bit draw at (seed, sequence[i], event[i], purpose, index[i])
struct DeviceBits {
  uint64_t seed;
  const uint64_t* sequence;
  const int64_t* event;
  Purpose purpose;
  const uint64_t* index;
  uint64_t* out;

  PYMDM_HD void operator()(int64_t i, int64_t) const {
    out[i] = random_bits(seed, sequence[i], static_cast<uint32_t>(event[i]), purpose, index[i]);
  }
};

}  // namespace pymdm::sample
