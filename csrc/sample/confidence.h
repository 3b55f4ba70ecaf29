// Samplers that unmask where the network is most sure, as LLaDA, Dream and Fast-dLLM do.
// Law: none in closed form (approximate). At each call every masked position of the current block proposes a token from
// mu at the wanted temperature; the positions with the largest confidence take their proposals, the rest stay masked.
// Order and tokens depend on each other, so the samples do not follow the reverse process.
#pragma once

#include <vector>

#include "sample/sampler.h"

namespace pymdm::sample {

enum class Rule : int32_t {
  kProbability = 0,  // of the proposed token (LLaDA's low-confidence remasking, Dream's maskgit_plus)
  kMargin = 1,       // between the two most likely tokens (Dream's topk_margin)
  kEntropy = 2,      // negative entropy of mu (Dream's entropy)
  kRandom = 3,       // a uniform number: random order, as LLaDA's random remasking
};

struct ConfidenceOptions {
  Rule rule = Rule::kProbability;
  int64_t tokens_per_call = 1;  // positions unmasked at each call, at least
  double threshold = 2.0;       // also every position whose confidence is above it (Fast-dLLM); above 1 is off
  int64_t block = 0;            // semi-autoregressive blocks of this many positions, left to right; 0 is one block
};

class Confidence : public Sampler {
 public:
  explicit Confidence(ConfidenceOptions options) : options_(options) {}

  void plan(const State& state, int64_t b, Plan& plan) const override;
  void write(State& state, const Plan& plan, const Logits& logits, const Options& options) const override;

 private:
  ConfidenceOptions options_;
};

}  // namespace pymdm::sample
