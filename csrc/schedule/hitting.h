// Draws the time at which the next of n masked tokens is unmasked. Never sees logits.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/hostdev.h"
#include "random/address.h"
#include "random/gumbel.h"

namespace pymdm {

// Proposition 4.1: with n tokens masked since m_n = 1 - alpha(tau_n), the next event is at m_{n-1} = u^{1/n} m_n, the
// largest of n independent uniforms on (0, m_n).
PYMDM_HD double next_masked_probability(double masked, int64_t n, uint64_t seed, uint64_t sequence, uint32_t event) {
  const uint64_t r = random_bits(seed, sequence, event, Purpose::kHittingTime, 0);
  return masked * exp(log_uniform(r) / static_cast<double>(n));
}

}  // namespace pymdm
