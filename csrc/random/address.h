// A random draw is a pure function of its address (seed, sequence id, event, purpose, index); see docs/design.md,
// decision 2.
#pragma once

#include <cstdint>

#include "core/hostdev.h"
#include "random/philox.h"

namespace pymdm {

// What a draw is for. A 64-bit draw of purpose p takes its high word from word purpose 2p, its low word from 2p + 1.
enum class Purpose : uint32_t {
  kHittingTime = 1,
  kPosition = 2,
  kToken = 3,
  kMove = 4,        // ancestral: does this position leave the mask in this step
  kLiteral = 5,     // ancestral, literal form: one class of V tokens and the mask
  kConfidence = 6,  // which of the proposed tokens to keep
  kCorrector = 7,
  kRemask = 8,   // is this drawn token masked again in this step
  kFree = 9,     // left for callers and tests
  kLength = 10,  // of a sequence, where lengths have a law
};

constexpr uint64_t kMaxSequence = (uint64_t{1} << 56) - 1;  // sequence ids have 56 bits
constexpr uint64_t kMaxIndex = (uint64_t{1} << 34) - 1;     // 32 bits of counter, 2 of output word

PYMDM_HD Key2 key_of(uint64_t seed) { return Key2{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)}; }

// Counter of the block that holds draws 4*block .. 4*block + 3 of one address.
PYMDM_HD Words4 counter_of(uint64_t sequence, uint32_t event, uint32_t word_purpose, uint64_t block) {
  return Words4{{static_cast<uint32_t>(block), event, static_cast<uint32_t>(sequence),
                 (word_purpose << 24) | static_cast<uint32_t>((sequence >> 32) & 0xFFFFFFu)}};
}

// One 32-bit word. Chosen by comparison, not by indexing, so that it stays in registers on the device.
PYMDM_HD uint32_t random_word(Key2 key, uint64_t sequence, uint32_t event, uint32_t word_purpose, uint64_t index) {
  const Words4 out = philox(counter_of(sequence, event, word_purpose, index >> 2), key);
  const uint32_t lane = static_cast<uint32_t>(index & 3);
  return lane == 0 ? out.w[0] : lane == 1 ? out.w[1] : lane == 2 ? out.w[2] : out.w[3];
}

// A 64-bit draw, uniform on 0 .. 2^64 - 1.
PYMDM_HD uint64_t random_bits(uint64_t seed, uint64_t sequence, uint32_t event, Purpose purpose, uint64_t index) {
  const Key2 key = key_of(seed);
  const uint32_t p = static_cast<uint32_t>(purpose);
  const uint64_t high = random_word(key, sequence, event, 2 * p, index);
  return high << 32 | random_word(key, sequence, event, 2 * p + 1, index);
}

}  // namespace pymdm
