// Checks what must hold of a state, whoever made it.
#include "sample/state.h"

#include <cmath>

#include "core/error.h"
#include "random/address.h"

namespace pymdm::sample {
namespace {

constexpr const char* kOp = "sample";
constexpr int64_t kMaxCount = int64_t{1} << 62;  // adding the work of one run cannot overflow
// Event numbers have 32 bits. Every masked position may take one of its own, and the next one after the last may be one
// beyond.
constexpr int64_t kMaxEvent = int64_t{1} << 32;

bool within(double x, double low, double high) { return x >= low && x <= high; }  // false for NaN

// Position i of sequence b, whose ranks so far are in `seen`.
void check_position(const State& s, int64_t b, int64_t i, std::vector<uint8_t>& seen) {
  const int64_t rank = s.rank[i], token = s.tokens[i];
  if (rank == -1) {
    check(std::isnan(s.times[i]), kOp, "the state of sequence ", b, " has a time at position ", i - s.offsets[b],
          ", which was not drawn");
    check(std::isnan(s.log_prob[i]), kOp, "the state of sequence ", b, " has a log-probability at position ",
          i - s.offsets[b], ", which was not drawn");
    return;
  }
  check(rank >= 0 && rank < s.unmasked[b] && !seen[rank], kOp, "the state of sequence ", b,
        " does not rank its drawn positions 0, 1, ...");
  seen[rank] = 1;
  check(!(s.log_prob[i] > 1e-9), kOp, "the state of sequence ", b, " has log-probability ", s.log_prob[i],
        " at position ", i - s.offsets[b]);
  check(token != s.mask_id && token < s.vocab && within(s.times[i], 0, 1), kOp, "the state of sequence ", b,
        " has token ", token, " and time ", s.times[i], " at position ", i - s.offsets[b], ", which was drawn from ",
        s.vocab, " classes at a time in [0, 1]");
}

void check_kept(const State& s, int64_t b) {
  const Kept& kept = s.kept[b];
  std::vector<uint8_t> seen(s.length(b), 0);
  for (const int64_t l : kept.positions) {
    check(l >= 0 && l < s.length(b) && !seen[l], kOp, "the state of sequence ", b, " keeps position ", l,
          " twice or beyond its length ", s.length(b));
    seen[l] = 1;
  }
  check(kept.positions.empty() ? kept.events.empty() : within(kept.time, 0, 1), kOp, "the state of sequence ", b,
        " keeps outputs of time ", kept.time, " and ", kept.events.size(), " events of ", kept.positions.size(),
        " positions");
  for (const double score : kept.scores)
    check(score < std::numeric_limits<double>::infinity(), kOp, "the state of sequence ", b, " keeps a score of ",
          score);
}

void check_guesses(const State& s, int64_t b) {
  const Guesses& guesses = s.guesses[b];
  // Guesses reach up to 1,023 steps ahead; remasking guesses the same position more than once.
  check(guesses.gaps.size() == guesses.tokens.size() &&
            static_cast<int64_t>(guesses.tokens.size()) <= 1024 * s.length(b) * (s.unmasked[b] + s.remaining[b] > 0),
        kOp, "the state of sequence ", b, " has ", guesses.tokens.size(), " guesses and ", guesses.gaps.size(),
        " gaps for ", s.length(b), " positions");
  for (const int64_t token : guesses.tokens)
    check(token >= 0 && token < s.vocab && token != s.mask_id, kOp, "the state of sequence ", b, " guesses token ",
          token);
  for (const double gap : guesses.gaps)
    check(!std::isnan(gap), kOp, "the state of sequence ", b, " has a gap that is not a number");
}

}  // namespace

void check_start(const State& s) {
  check(s.offsets.size() == s.sequence.size() + 1, kOp, "expected one offset more than sequence ids, got ",
        s.offsets.size(), " and ", s.sequence.size());
  check(s.offsets.front() == 0 && s.offsets.back() == static_cast<int64_t>(s.tokens.size()), kOp,
        "offsets must run from 0 to the ", s.tokens.size(), " tokens");
  check(s.mask_id >= 0 && s.mask_id <= kMaxCount, kOp, "the mask id must be in [0, 2^62], got ", s.mask_id);
  for (size_t b = 0; b < s.sequence.size(); ++b) {
    check(s.offsets[b] < s.offsets[b + 1], kOp, "sequence ", b, " is empty");
    check(s.sequence[b] <= kMaxSequence, kOp, "sequence id must be in [0, 2^56), got ",
          static_cast<int64_t>(s.sequence[b]));
  }
  for (const int64_t token : s.tokens) check(token >= 0, kOp, "token ids must be at least 0, got ", token);
}

void check_initialised(const State& s) {
  const size_t batch = s.sequence.size();
  check(s.times.size() == s.tokens.size() && s.log_prob.size() == s.tokens.size() && s.rank.size() == s.tokens.size() &&
            s.remaining.size() == batch && s.unmasked.size() == batch && s.event.size() == batch &&
            s.masked.size() == batch && s.nfe.size() == batch && s.rounds.size() == batch && s.rows.size() == batch &&
            s.kept.size() == batch && s.guesses.size() == batch,
        kOp, "the state is not initialised; call the sampler's init first");
}

void check_progress(const State& s) {
  check(s.vocab >= 0 && s.vocab <= static_cast<int64_t>(kMaxIndex) && s.calls >= 0 && s.calls <= kMaxCount &&
            s.draws >= 0 && s.draws <= kMaxCount,
        kOp, "the state's counts are out of range: ", s.vocab, " classes, ", s.calls, " calls, ", s.draws, " draws");
  for (int64_t b = 0; b < s.size(); ++b) {
    int64_t masks = 0, drawn = 0;
    for (int64_t i = s.offsets[b]; i < s.offsets[b + 1]; ++i) {
      const bool mask = s.tokens[i] == s.mask_id;
      check(!mask || s.rank[i] == -1, kOp, "the state of sequence ", b, " ranks position ", i - s.offsets[b],
            ", which is masked");
      masks += mask;
      drawn += s.rank[i] != -1;
    }
    check(masks == s.remaining[b] && drawn == s.unmasked[b] && s.event[b] >= 0 && s.event[b] <= kMaxEvent - masks &&
              s.nfe[b] >= 0 && s.nfe[b] <= kMaxCount && s.rows[b] >= 0 && s.rows[b] <= kMaxCount && s.rounds[b] >= 0 &&
              s.rounds[b] <= s.calls && within(s.masked[b], 0, 1),
          kOp, "the state of sequence ", b, " contradicts itself: ", masks, " masks for ", s.remaining[b], ", ", drawn,
          " drawn for ", s.unmasked[b], ", event ", s.event[b], ", ", s.nfe[b], " evaluations, ", s.rounds[b],
          " rounds in ", s.calls, " calls, m = ", s.masked[b]);
    std::vector<uint8_t> seen(drawn, 0);
    for (int64_t i = s.offsets[b]; i < s.offsets[b + 1]; ++i) check_position(s, b, i, seen);
    check_kept(s, b);
    check_guesses(s, b);
  }
}

State select(const State& s, const std::vector<int64_t>& which) {
  check_initialised(s);
  State out;
  out.mask_id = s.mask_id, out.seed = s.seed, out.settings = s.settings;
  out.vocab = s.vocab, out.calls = s.calls, out.draws = s.draws;
  out.offsets.push_back(0);
  for (const int64_t b : which) {
    check(b >= 0 && b < s.size(), kOp, "sequence ", b, " is not among the ", s.size(), " of the state");
    const auto positions = [&](const auto& from, auto& to) {
      to.insert(to.end(), from.begin() + s.offsets[b], from.begin() + s.offsets[b + 1]);
    };
    positions(s.tokens, out.tokens), positions(s.times, out.times), positions(s.rank, out.rank);
    positions(s.log_prob, out.log_prob);
    out.offsets.push_back(static_cast<int64_t>(out.tokens.size()));
    out.sequence.push_back(s.sequence[b]), out.remaining.push_back(s.remaining[b]);
    out.unmasked.push_back(s.unmasked[b]), out.event.push_back(s.event[b]), out.masked.push_back(s.masked[b]);
    out.nfe.push_back(s.nfe[b]), out.kept.push_back(s.kept[b]);
    out.rounds.push_back(s.rounds[b]), out.rows.push_back(s.rows[b]), out.guesses.push_back(s.guesses[b]);
  }
  return out;
}

}  // namespace pymdm::sample
