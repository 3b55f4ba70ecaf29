// Decides how far lookahead guesses, by predicted hits and the measured cost of network calls. It changes which rounds
// are made, never a token: nothing here sees what the network says of a guess before the round is over.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace pymdm::sample {

// What a sampler says of looking ahead. `window` is the largest number of copies of a sequence in one call; 1 is off.
struct Ahead {
  int64_t window = 1;
  double mark = 0;     // above 0: copies as long as the chance that all their guesses are right is at least this
  bool timed = false;  // the mark follows from the cost measured on the run

  bool off() const { return window <= 1; }
  bool adaptive() const { return mark > 0 || timed; }
};

// The chance that a guess is the token that will be drawn, given that the guesses before it are, from the gap between
// its score under the noise and the second best, and from how many tokens were guessed before it. Counts of earlier
// guesses in cells of both, on top of a prior.
class HitRate {
 public:
  HitRate();
  double operator()(double gap, int64_t ahead) const;
  void observe(double gap, int64_t ahead, bool hit);

 private:
  static constexpr int kGaps = 8, kSteps = 5;
  static int cell(double gap, int64_t ahead);

  std::array<double, kGaps * kSteps> hits_, all_;
};

// Seconds of a round as t0 + t1 T for T tokens in the call, by least squares that forget.
class RoundCost {
 public:
  void observe(double tokens, double seconds);
  // t0 / t1 in tokens; below 0 while rounds of two sizes have not been seen.
  double ratio() const;

 private:
  double weight_ = 0, x_ = 0, y_ = 0, xx_ = 0, xy_ = 0;
  int64_t rounds_ = 0;
};

// Steps of a sequence a second, over rounds of one kind.
class Pace {
 public:
  void observe(double steps, double seconds);
  void forget() { *this = {}; }
  bool known() const { return seconds_ > 0; }
  double steps_a_round() const { return steps_ / rounds_; }
  double steps_a_second() const { return steps_ / seconds_; }

 private:
  double steps_ = 0, seconds_ = 0, rounds_ = 0;
};

// The length of a sequence and, for each guessed step, the chance that it and all guessed steps before it are right.
struct Prospect {
  int64_t length;
  std::vector<double> chances;  // falling
};

// Chooses the number of copies of every sequence, round by round.
class Windows {
 public:
  explicit Windows(Ahead ahead) : ahead_(ahead) {}

  // [A] copies, at least 1 and at most 1 + the guessed steps.
  std::vector<int64_t> widths(const std::vector<Prospect>& prospects) const;
  // How many steps, of those behind `guesses` guesses, this round can want.
  int64_t reach(int64_t guesses) const;
  // How many steps of guesses to read from each output of this round.
  int64_t depth(const std::vector<int64_t>& widths) const;
  // A round of T tokens is over, which did `steps` steps of a sequence in the mean; `ahead`: there were copies.
  void observe(double tokens, double seconds, double steps, bool ahead);

  HitRate hit;

 private:
  enum class Mood { kProbe, kRun, kRest };
  static constexpr int64_t kShortestRest = 16;  // rounds

  Ahead ahead_;
  void rest(int64_t rounds);
  // Nothing is read ahead in this round: the next one rests too.
  bool resting() const { return ahead_.timed && mood_ == Mood::kRest && round_ + 1 < until_; }
  static int64_t depth_behind(int64_t widest) { return 2 * widest + 2; }

  RoundCost cost_;
  Pace looking_, plain_;  // of this stretch of rounds that look ahead; of rounds that do not
  Mood mood_ = Mood::kProbe;
  int64_t round_ = 0, rest_ = kShortestRest, until_ = 0, since_ = 0;
};

}  // namespace pymdm::sample
