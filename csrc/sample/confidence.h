// Samplers that unmask where the network is most sure, as LLaDA, Dream, Fast-dLLM and the entropy-bounded sampler do.
// Law: none in closed form (approximate). At each call every masked position of the current block proposes a token from
// mu at the wanted temperature; the positions with the largest confidence take their proposals, the rest stay masked.
// Order and tokens depend on each other, so the samples do not follow the reverse process. Confidences within kTie of
// the largest that is left are tied, as rows that are equal but for rounding are; of these an addressed draw decides.
#pragma once

#include <limits>
#include <utility>
#include <vector>

#include "sample/position_score.h"
#include "sample/sampler.h"

namespace pymdm::sample {

constexpr double kTie = 1e-4;  // nats, or for the margin probability

enum class Rule : int32_t {
  kProbability = 0,  // of the proposed token, before temperature and truncation (LLaDA's low-confidence remasking)
  kMargin = 1,       // between the two most likely tokens (Dream's topk_margin)
  kEntropy = 2,      // negative entropy of mu (Dream's entropy)
  kRandom = 3,       // a uniform number: random order, as LLaDA's random remasking
  kDrawn = 4,        // of the proposed token, as it was drawn (Dream's maskgit_plus)
  kScore = 5,        // a function of the user's; only equal scores are tied
};
// Margin, entropy and kDrawn measure mu tempered (at temperature 0: as the network gives it) and truncated.

struct ConfidenceOptions {
  Rule rule = Rule::kProbability;
  std::vector<int64_t> tokens_per_call = {1};                  // positions unmasked by each call, at least
  double threshold = std::numeric_limits<double>::infinity();  // also all that are at least this sure (Fast-dLLM)
  int64_t block = 0;     // semi-autoregressive blocks of this many positions from the first free one on; 0 is one block
  bool aligned = false;  // blocks from position 0 on, as block networks are trained
  // Also the largest set whose entropies, but for the largest one, sum to at most this; below 0 is off.
  double bound = -std::numeric_limits<double>::infinity();
  PositionScore score = {};  // of rule kScore
  bool proposals = false;    // it sees the proposed tokens in the masks' places
};

class Confidence : public Sampler {
 public:
  explicit Confidence(ConfidenceOptions options) : options_(std::move(options)) {}

  void plan(const State& state, int64_t b, Plan& plan) const override;
  void write(State& state, const Plan& plan, const Logits& logits, const Options& options) const override;

 private:
  std::vector<double> confidences(const State& state, const Plan& plan, const Logits& logits, const Options& options,
                                  const std::vector<int64_t>& proposed) const;

  ConfidenceOptions options_;
};

}  // namespace pymdm::sample
