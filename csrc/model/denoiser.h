// Checks that a packed batch fits a network.
#pragma once

#include "core/batch.h"
#include "model/config.h"

namespace pymdm::model {

// Throws Error ("engine: ...") where a batch does not fit the network: lengths, token ids, rows, times.
void check_batch(const Config& config, const Batch& batch);

}  // namespace pymdm::model
