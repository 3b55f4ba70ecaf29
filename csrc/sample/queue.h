// Which sequences are in a network call: those of the call before that are not finished, and as many that wait as there
// are free slots, in the order of the state. The one batching rule, of the loop on the host and of calls that a device
// replays. Samples do not depend on it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace pymdm::sample {

class Queue {
 public:
  // At most `batch_size` sequences in a call, at most `max_calls` calls; 0 is no limit.
  Queue(int64_t sequences, int64_t batch_size, int64_t max_calls)
      : sequences_(sequences),
        slots_(batch_size > 0 ? batch_size : sequences),
        calls_left_(max_calls > 0 ? max_calls : std::numeric_limits<int64_t>::max()) {}

  // The sequences of the next call; none where all are finished or no call is left. `finished(b)` says whether sequence
  // b needs no further call.
  template <class Finished>
  const std::vector<int64_t>& next(const Finished& finished) {
    active_.erase(std::remove_if(active_.begin(), active_.end(), finished), active_.end());
    for (skip(finished); waits() && static_cast<int64_t>(active_.size()) < slots_; skip(finished))
      active_.push_back(first_++);
    if (calls_left_ <= 0) active_.clear();
    return active_;
  }

  void spend(int64_t calls) { calls_left_ -= calls; }
  int64_t calls_left() const { return calls_left_; }
  int64_t sequences() const { return sequences_; }
  // Whether an unfinished sequence waits for a slot.
  bool waits() const { return first_ < sequences_; }

 private:
  template <class Finished>
  void skip(const Finished& finished) {
    while (waits() && finished(first_)) ++first_;
  }

  int64_t sequences_, slots_, calls_left_;
  int64_t first_ = 0;            // sequences before this one are active or finished
  std::vector<int64_t> active_;  // [A]
};

}  // namespace pymdm::sample
