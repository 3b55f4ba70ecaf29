#include "model/cache.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "core/error.h"

namespace pymdm::model {

int64_t unchanged(const std::vector<Known>& before, const std::vector<Known>& now, int64_t most) {
  int64_t kept = 0;
  most = std::min<int64_t>(most, static_cast<int64_t>(std::min(before.size(), now.size())));
  while (kept < most && before[kept] == now[kept]) ++kept;
  while (kept > 0 && now[kept - 1].past > kept) --kept;
  return kept;
}

Cache::Cache(const Config& config, DType dtype)
    : dtype_(dtype), shape_{config.heads, config.kv_heads, config.head_dim}, layers_(config.layers) {}

void Cache::lay_out(int64_t lanes, int64_t capacity) {
  capacity_ = capacity;
  lanes_.assign(lanes, Lane{});
  places_.clear();
  const int64_t slots = lanes * capacity, width = ops::KeyValues::value_columns(shape_.head_dim);
  const int64_t size = shape_.kv_heads * slots * static_cast<int64_t>(element_size(dtype_));
  const int64_t layer = size * (shape_.head_dim + width);
  const int64_t bytes = static_cast<int64_t>(layers_.size()) * layer;
  char* at = nullptr;
  try {
    at = memory_.reserve(bytes);
  } catch (const std::bad_alloc&) {
    lanes_.clear(), capacity_ = 0;
    fail("engine", "keys and values of ", lanes, " sequences take ", bytes,
         " bytes, which are not there; give a smaller batch_size");
  }
  std::memset(at, 0, bytes);  // values behind a prefix are read with weight 0
  for (ops::KeyValues& kv : layers_) {
    kv = {dtype_, shape_, slots, width, at, at + size * shape_.head_dim};
    at += layer;
  }
}

int64_t Cache::place(int64_t owner) const {
  const auto found = places_.find(owner);
  check(found != places_.end(), "engine", "sequence ", owner, " has no place in the cache");
  return found->second;
}

void Cache::admit(Span<const int64_t> owners, int64_t longest) {
  std::vector<int64_t> wanted(owners.begin(), owners.end());
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  const auto count = static_cast<int64_t>(wanted.size());
  const int64_t capacity = (longest + ops::kKeyPanel - 1) / ops::kKeyPanel * ops::kKeyPanel;
  if (capacity > capacity_ || count > static_cast<int64_t>(lanes_.size()))
    lay_out(std::max<int64_t>(count, static_cast<int64_t>(lanes_.size())), std::max(capacity, capacity_));
  std::vector<int64_t> free;
  for (size_t i = 0; i < lanes_.size(); ++i)
    if (!std::binary_search(wanted.begin(), wanted.end(), lanes_[i].owner)) free.push_back(static_cast<int64_t>(i));
  for (const int64_t owner : wanted) {
    if (places_.count(owner) != 0) continue;
    Lane& l = lanes_[free.back()];
    places_.erase(l.owner);
    l.owner = owner;  // what it holds of another is compared like anything else
    places_[owner] = free.back();
    free.pop_back();
  }
}

void Cache::keep(int64_t owner, const std::vector<Known>& known) {
  Lane& l = lane(owner);
  const int64_t first = first_slot(owner);
  for (const ops::KeyValues& kv : layers_)
    ops::clear_values(kv, first + static_cast<int64_t>(known.size()),
                      first + static_cast<int64_t>(std::max(known.size(), l.known.size())));
  l.known = known;
}

}  // namespace pymdm::model
