#include "sample/window.h"

#include <algorithm>
#include <cmath>

namespace pymdm::sample {
namespace {

constexpr double kPrior = 4;           // what the prior of a cell weighs, in guesses
constexpr double kForget = 0.98;       // of a round's weight, each later round
constexpr int64_t kFirstProbes = 6;    // rounds, every other one with copies, before the cost is believed
constexpr int64_t kLongestRest = 256;  // rounds
constexpr int64_t kTrial = 8;          // rounds, of looking ahead or of not, before they are judged
constexpr double kPlainly = 1.5;       // steps a round from which looking ahead is plainly worth what it costs
constexpr double kProbeMark = 0.4;

// Prior: when d tokens become known, the scores of the two best move against each other by a Laplace variable of scale
// 0.12 d (the bundled model at L = 64: 0.17 d, at L = 256: 0.07 d).
double prior(double gap, double ahead) { return 1 - 0.5 * std::exp(-gap / (0.12 * ahead)); }

}  // namespace

int HitRate::cell(double gap, int64_t ahead) {
  int g = 0, d = 0;
  for (double edge = 0.125; g + 1 < kGaps && gap >= edge; edge *= 2) ++g;
  for (int64_t edge = 2; d + 1 < kSteps && ahead >= edge; edge *= 2) ++d;
  return d * kGaps + g;
}

HitRate::HitRate() {
  for (int d = 0; d < kSteps; ++d)
    for (int g = 0; g < kGaps; ++g) {
      hits_[d * kGaps + g] = kPrior * prior(g == 0 ? 0.06 : 0.0884 * (1 << g), 1.4 * (1 << d));
      all_[d * kGaps + g] = kPrior;
    }
}

double HitRate::operator()(double gap, int64_t ahead) const {
  const int at = cell(gap, ahead);
  return hits_[at] / all_[at];
}

void HitRate::observe(double gap, int64_t ahead, bool hit) {
  const int at = cell(gap, ahead);
  hits_[at] += hit, all_[at] += 1;
}

void RoundCost::observe(double tokens, double seconds) {
  if (rounds_++ == 0) return;  // the first call sets up memory
  for (double* sum : {&weight_, &x_, &y_, &xx_, &xy_}) *sum *= kForget;
  weight_ += 1, x_ += tokens, y_ += seconds, xx_ += tokens * tokens, xy_ += tokens * seconds;
}

double RoundCost::ratio() const {
  const double spread = weight_ * xx_ - x_ * x_;
  if (rounds_ < kFirstProbes || !(spread > 1e-6 * x_ * x_)) return -1;
  const double slope = (weight_ * xy_ - x_ * y_) / spread, base = (y_ - slope * x_) / weight_;
  if (slope <= 0) return 1e6 * x_ / weight_;  // copies cost nothing that can be seen
  return std::max(0.0, base / slope);
}

void Pace::observe(double steps, double seconds) {
  for (double* sum : {&steps_, &seconds_, &rounds_}) *sum *= kForget;
  steps_ += steps, seconds_ += seconds, rounds_ += 1;
}

std::vector<int64_t> Windows::widths(const std::vector<Prospect>& prospects) const {
  std::vector<int64_t> out;
  const double ratio = ahead_.timed ? cost_.ratio() : -1;
  for (const Prospect& p : prospects) {
    int64_t width = 1 + static_cast<int64_t>(p.chances.size());
    if (ahead_.adaptive()) {
      const double mark = ahead_.timed ? kProbeMark : ahead_.mark;
      width = 1;
      while (width <= static_cast<int64_t>(p.chances.size()) && p.chances[width - 1] >= mark) ++width;
    }
    out.push_back(width);
  }
  if (!ahead_.timed) return out;
  if (mood_ == Mood::kRest || (mood_ == Mood::kProbe && round_ % 2 == 0)) return std::vector<int64_t>(out.size(), 1);
  if (ratio < 0) {  // one copy is enough to learn what it costs
    for (int64_t& width : out) width = std::min<int64_t>(width, 2);
    return out;
  }
  // The most expected tokens a second: copies in the order of what they bring a token of work, while that is above what
  // the round brings already.
  struct Copy {
    double gain;
    int64_t sequence;
    double chance;
  };
  std::vector<Copy> copies;
  double tokens = 0, work = ratio;
  for (size_t i = 0; i < prospects.size(); ++i) {
    tokens += 1, work += static_cast<double>(prospects[i].length);
    for (const double chance : prospects[i].chances)
      copies.push_back({chance / static_cast<double>(prospects[i].length), static_cast<int64_t>(i), chance});
  }
  std::stable_sort(copies.begin(), copies.end(), [](const Copy& a, const Copy& b) { return a.gain > b.gain; });
  out.assign(prospects.size(), 1);
  for (const Copy& copy : copies) {
    if (copy.gain * work <= tokens) break;
    ++out[copy.sequence];
    tokens += copy.chance, work += static_cast<double>(prospects[copy.sequence].length);
  }
  return out;
}

int64_t Windows::reach(int64_t guesses) const {
  if (!ahead_.adaptive()) return ahead_.window;
  if (resting()) return 1;
  return std::min(ahead_.window, depth_behind(guesses + 1) + 1);
}

int64_t Windows::depth(const std::vector<int64_t>& widths) const {
  if (!ahead_.adaptive()) return ahead_.window - 1;
  if (resting()) return 0;
  const int64_t widest = widths.empty() ? 1 : *std::max_element(widths.begin(), widths.end());
  return std::min(ahead_.window - 1, depth_behind(widest));
}

void Windows::rest(int64_t rounds) {
  mood_ = Mood::kRest;
  until_ = round_ + rounds;
}

// Looking ahead costs more than its copies: reading guesses from every output. What a stretch of rounds gained is
// therefore held against rounds that only take their own step; a few of those are made to know, unless there is no need
// to ask.
void Windows::observe(double tokens, double seconds, double steps, bool ahead) {
  cost_.observe(tokens, seconds);
  ++round_;
  if (!ahead_.timed) return;
  if (mood_ == Mood::kRest && round_ < until_) return plain_.observe(steps, seconds);
  if (mood_ == Mood::kRest || (mood_ == Mood::kProbe && cost_.ratio() >= 0)) {
    mood_ = Mood::kRun;
    since_ = round_;
    looking_.forget();
  } else if (mood_ == Mood::kRun) {
    looking_.observe(steps, seconds);
    const bool judged = round_ - since_ >= kTrial;
    if (judged && !plain_.known() && looking_.steps_a_round() < kPlainly) return rest(kTrial);
    if (ahead && !(judged && plain_.known() && looking_.steps_a_second() < plain_.steps_a_second())) {
      if (judged) rest_ = kShortestRest;
      return;
    }
    rest(rest_);  // not worth it now: stop reading ahead for a while, each time longer
    rest_ = std::min(2 * rest_, kLongestRest);
  }
}

}  // namespace pymdm::sample
