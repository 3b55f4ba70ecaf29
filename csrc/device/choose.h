// Runs choose on logits in a device's memory. On CPU tensors the kernel's emulation (ops/cpu/choose_tile.cpp) stands
// in.
#pragma once

#include "device/tensors.h"
#include "ops/choose.h"

namespace pymdm::device {

// Queues choose; every pointer of `args` is in the device's memory. Bad rows get token -1.
void queue_choose(const Where& where, const ops::ChooseArgs& args, const at::Tensor& scratch);

// What queue_choose needs for this many rows; serves one call after the other.
at::Tensor choose_scratch(const at::Device& device, int64_t rows, int64_t vocab);

// Draws, and waits: the logits are rows of `logits` [M, V]; addresses, bans and tokens of `args` are in the CPU's
// memory. Of rows with a set of tokens only these logits come to the CPU, where the choice is made. Throws Error,
// naming the row, where a row has NaN, +inf, or nothing above -inf that is allowed and not banned.
void choose(const at::Tensor& logits, ops::ChooseArgs args);

}  // namespace pymdm::device
