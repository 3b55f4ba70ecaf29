// A cache of keys and values between the calls of one run, for networks whose known rows do not change later. It is a
// function of the states it is shown: a slot is kept while its content is the same, so that nobody has to tell it of a
// wrong guess, of a run that goes on elsewhere or of a sequence that was changed.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "core/types.h"
#include "model/config.h"
#include "ops/attention.h"
#include "ops/matrix.h"

namespace pymdm::model {

// What a slot of a sequence holds: a token at a position whose row sees the first `past` slots.
struct Known {
  int64_t token = 0;
  int32_t position = 0;
  int64_t past = 0;

  bool operator==(const Known& other) const {
    return token == other.token && position == other.position && past == other.past;
  }
};

// How many of the slots `before`, at most `most`, are as `now` wants them. A row is kept only with all that it sees.
int64_t unchanged(const std::vector<Known>& before, const std::vector<Known>& now, int64_t most);

class Cache {
 public:
  Cache(const Config& config, DType dtype);

  // Makes room for these owners' sequences of at most `longest` tokens; forgets all others where it must grow.
  void admit(Span<const int64_t> owners, int64_t longest);
  const std::vector<Known>& known(int64_t owner) { return lane(owner).known; }
  // Says what the slots of a sequence hold from now on.
  void keep(int64_t owner, const std::vector<Known>& known);
  int64_t first_slot(int64_t owner) const { return place(owner) * capacity_; }
  const ops::KeyValues& layer(int64_t i) const { return layers_[i]; }
  int64_t bytes() const { return memory_.bytes(); }

 private:
  struct Lane {
    int64_t owner = -1;
    std::vector<Known> known;
  };
  int64_t place(int64_t owner) const;
  Lane& lane(int64_t owner) { return lanes_[place(owner)]; }
  void lay_out(int64_t lanes, int64_t capacity);

  DType dtype_;
  ops::HeadShape shape_;
  int64_t capacity_ = 0;  // slots of a lane
  std::vector<Lane> lanes_;
  std::unordered_map<int64_t, int64_t> places_;  // owner -> lane
  std::vector<ops::KeyValues> layers_;
  ops::Buffer memory_;
};

}  // namespace pymdm::model
