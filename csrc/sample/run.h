// The loop of all samplers on the host: plan, network, write, until every sequence is finished. It knows no sampler and
// no network by name.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "sample/sampler.h"

namespace pymdm::sample {

struct RunOptions {
  int64_t batch_size = 0;       // sequences in one network call; 0 means all. Samples do not depend on it.
  int64_t max_calls = 0;        // stop in the round that reaches this many network calls; 0 means run to the end
  std::vector<int64_t> banned;  // token ids never drawn; a mask id below V is always among them
  // Position -> the only tokens that may be drawn there, in increasing order of positions: at each of its events the
  // conditional is cut to them and normalised again. Positions that are not here take every token.
  std::vector<std::pair<int64_t, std::vector<int64_t>>> allowed;
  int64_t drawable = 0;  // ids from here on stand for no token and are never drawn; 0: all stand for one
  Options draw;
};

// mu is the softmax over ids that stand for tokens: [V] nonzero for the mask, for what is beyond the tokenizer, and for
// what the caller bans. Throws where a banned id is none of [0, V).
std::vector<uint8_t> never_drawn(const RunOptions& options, int64_t mask_id, int64_t vocab);

// Called after each step, on the calling thread; may throw to stop the run. The state is whole at that moment.
using Watch = std::function<void(const State&)>;

// Continues `state` (after sampler.init). Finished sequences leave the batch and waiting ones take their place.
void run(State& state, const Sampler& sampler, Network& network, const RunOptions& options, const Watch& watch);

}  // namespace pymdm::sample
