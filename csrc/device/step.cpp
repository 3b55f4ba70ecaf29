#include "device/step.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "device/choose.h"

namespace pymdm::device {
namespace {

constexpr const char* kOp = "sample";

// Rows of counts_.
enum Count { kUnmasked, kRemaining, kEvent, kNfe, kBad, kCounts };

// The sequences' stretches of a vector over all tokens, one after the other.
template <class T>
std::vector<T> pick(const std::vector<T>& all, const sample::State& state, const std::vector<int64_t>& sequences) {
  std::vector<T> out;
  for (const int64_t b : sequences)
    out.insert(out.end(), all.begin() + state.offsets[b], all.begin() + state.offsets[b + 1]);
  return out;
}

template <class T>
void copy_to(const at::Tensor& to, const std::vector<T>& from) {
  to.copy_(upload(from, to.scalar_type(), at::kCPU));
}

}  // namespace

FirstHittingStep::FirstHittingStep(std::shared_ptr<Network> network, const std::vector<int64_t>& lengths,
                                   int64_t per_call, double temperature, int64_t mask_id)
    : network_(std::move(network)), lengths_(lengths) {
  const Transformer& net = network_->transformer();
  const model::Config& c = net.config();
  check(!lengths.empty() && std::is_sorted(lengths.begin(), lengths.end()), kOp,
        "a step needs sequences in the order of their lengths");
  check(lengths.front() >= 1 && lengths.back() <= c.length, kOp, "a sequence must have 1 to ", c.length,
        " tokens, got ", lengths.front(), " to ", lengths.back());
  check(per_call >= 1 && per_call <= c.length, kOp, "tokens_per_call must be in [1, ", c.length, "], got ", per_call);
  check(temperature >= 0 && temperature < std::numeric_limits<double>::infinity(), kOp,
        "temperature must be finite and at least 0, got ", temperature);
  check(c.conditioning != model::Conditioning::kTime, kOp, "a step is for networks that do not see the time");
  const auto A = static_cast<int64_t>(lengths.size());
  std::vector<int64_t> offsets(1, 0);
  std::vector<int32_t> position;
  for (const int64_t length : lengths) {
    offsets.push_back(offsets.back() + length);
    for (int64_t l = 0; l < length; ++l) position.push_back(static_cast<int32_t>(l));
  }
  const int64_t T = offsets.back(), M = A * per_call, V = c.vocab_size;
  const at::Device device = net.device();
  const c10::DeviceGuard guard(device);
  const auto zeros = [&](at::IntArrayRef sizes, at::ScalarType type) {
    return at::zeros(sizes, at::TensorOptions().dtype(type).device(device));
  };
  in_.tokens = zeros({T}, at::kLong);
  in_.position = upload(position, at::kInt, device);
  in_.groups = groups_of(lengths, per_call);
  seed_ = zeros({1}, at::kLong), offsets_ = upload(offsets, at::kLong, device), sequence_ = zeros({A}, at::kLong);
  rank_ = zeros({T}, at::kLong), hit_ = zeros({T}, at::kDouble), masked_ = zeros({A}, at::kDouble);
  counts_ = zeros({kCounts, A}, at::kLong);
  row_ = zeros({M}, at::kLong), source_ = zeros({M}, at::kLong), row_sequence_ = zeros({M}, at::kLong);
  row_event_ = zeros({M}, at::kInt), row_masked_ = zeros({M}, at::kDouble), valid_ = zeros({M}, at::kInt);
  token_ = zeros({M}, at::kLong), banned_ = zeros({V}, at::kByte);
  scratch_ = choose_scratch(device, M, V);
  in_.rows = source_;
  // The mask's id is never among the tokens of ended sequences: id 0 or 1.
  if (mask_id == 0) in_.tokens.fill_(c.embed_rows() > 1 ? 1 : 0);

  sample::StepState& s = state_;
  s.per_call = per_call;
  s.mask_id = mask_id;
  s.shift = c.logit_shift;
  s.seed = data<uint64_t>(seed_);
  s.offsets = data<int64_t>(offsets_);
  s.sequence = data<uint64_t>(sequence_);
  s.tokens = data<int64_t>(in_.tokens);
  s.rank = data<int64_t>(rank_);
  s.hit = data<double>(hit_);
  s.unmasked = data<int64_t>(counts_) + kUnmasked * A;
  s.remaining = data<int64_t>(counts_) + kRemaining * A;
  s.event = data<int64_t>(counts_) + kEvent * A;
  s.nfe = data<int64_t>(counts_) + kNfe * A;
  s.bad = data<int64_t>(counts_) + kBad * A;
  s.masked = data<double>(masked_);
  s.row = data<int64_t>(row_);
  s.source = data<int64_t>(source_);
  s.row_sequence = data<uint64_t>(row_sequence_);
  s.row_event = data<uint32_t>(row_event_);
  s.row_masked = data<double>(row_masked_);
  s.valid = data<int32_t>(valid_);
  s.token = data<int64_t>(token_);

  choose_.dtype = DType::kFloat32;
  choose_.rows = M;
  choose_.vocab = choose_.row_stride = V;
  choose_.seed_at = s.seed;
  choose_.purpose = Purpose::kToken;
  choose_.sequence = s.row_sequence;
  choose_.event = s.row_event;
  choose_.temperature = temperature;
  choose_.banned = data<uint8_t>(banned_);
  choose_.token = data<int64_t>(token_);
}

void FirstHittingStep::load(const sample::State& state, const std::vector<int64_t>& sequences,
                            const std::vector<uint8_t>& banned) {
  const Transformer& net = network_->transformer();
  const auto A = static_cast<int64_t>(sequences.size());
  check(A == static_cast<int64_t>(lengths_.size()), kOp, "expected ", lengths_.size(), " sequences, got ", A);
  check(static_cast<int64_t>(banned.size()) == net.config().vocab_size, kOp, "expected ", net.config().vocab_size,
        " entries of banned, got ", banned.size());
  sample::check_initialised(state);
  check(state.vocab == 0 || state.vocab == net.config().vocab_size, kOp, "the network gives ", net.config().vocab_size,
        " logits a row, the state is of ", state.vocab);
  check(state.mask_id == state_.mask_id, kOp, "expected mask id ", state_.mask_id, ", got ", state.mask_id);
  for (int64_t a = 0; a < A; ++a) {
    const int64_t b = sequences[a];
    check(b >= 0 && b < state.size() && state.offsets[b + 1] - state.offsets[b] == lengths_[a], kOp, "sequence ", b,
          " does not have the length ", lengths_[a], " of its place");
  }
  const std::vector<int64_t> tokens = pick(state.tokens, state, sequences);
  for (const int64_t token : tokens)
    check(token >= 0 && token < net.config().embed_rows(), "engine", "token ids must be in [0, ",
          net.config().embed_rows(), "), got ", token);
  std::vector<int64_t> counts(kCounts * A, 0);
  std::vector<uint64_t> ids;
  std::vector<double> masked;
  for (int64_t a = 0; a < A; ++a) {
    const int64_t b = sequences[a];
    counts[kUnmasked * A + a] = state.unmasked[b];
    counts[kRemaining * A + a] = state.remaining[b];
    counts[kEvent * A + a] = state.event[b];
    counts[kNfe * A + a] = state.nfe[b];
    ids.push_back(state.sequence[b]);
    masked.push_back(state.masked[b]);
  }
  const c10::DeviceGuard guard(net.device());
  copy_to(seed_, std::vector<uint64_t>{state.seed});
  copy_to(sequence_, ids);
  copy_to(in_.tokens, tokens);
  copy_to(rank_, pick(state.rank, state, sequences));
  copy_to(masked_, masked);
  copy_to(counts_.view({-1}), counts);
  copy_to(banned_, banned);
  sequences_ = sequences;
}

void FirstHittingStep::step() {
  const Transformer& net = network_->transformer();
  const c10::DeviceGuard guard(net.device());
  const Where at = where(net.device());
  const auto A = static_cast<int64_t>(lengths_.size());
  launch_warps(at, A, sample::PlanStep{state_});
  choose_.logits = net.forward(in_, workspace_).data_ptr();
  queue_choose(at, choose_, scratch_);
  launch_grid(at, A, 1, sample::WriteStep{state_});
}

void FirstHittingStep::store(sample::State& state, const Schedule& schedule) const {
  const std::vector<int64_t> tokens = download<int64_t>(in_.tokens), rank = download<int64_t>(rank_);
  const std::vector<double> hit = download<double>(hit_), masked = download<double>(masked_);
  const std::vector<int64_t> counts = download<int64_t>(counts_);
  const auto A = static_cast<int64_t>(sequences_.size());
  sample::check_initialised(state);
  for (int64_t a = 0; a < A; ++a)
    check(sequences_[a] < state.size() && state.length(sequences_[a]) == lengths_[a], kOp,
          "the sequences are those of another state");
  state.vocab = network_->transformer().config().vocab_size;
  const auto count = [&](Count which, int64_t a) { return counts[which * A + a]; };
  int64_t first = 0;
  for (int64_t a = 0; a < A; first += lengths_[a++]) {
    const int64_t b = sequences_[a], at = state.offsets[b], bad = count(kBad, a);
    check(bad == 0, kOp, "the logits of sequence ", b, ", position ", bad - 1 - first,
          " have NaN, +inf or no token above -inf that is not banned");
    for (int64_t l = 0; l < lengths_[a]; ++l) {
      if (rank[first + l] < 0 || state.rank[at + l] >= 0) continue;  // given, masked, or known already
      state.tokens[at + l] = tokens[first + l];
      state.rank[at + l] = rank[first + l];
      state.times[at + l] = schedule.time_of_masked(hit[first + l]);
    }
    state.draws += count(kUnmasked, a) - state.unmasked[b];
    state.unmasked[b] = count(kUnmasked, a);
    state.remaining[b] = count(kRemaining, a);
    state.event[b] = count(kEvent, a);
    const int64_t calls = count(kNfe, a) - state.nfe[b];
    state.nfe[b] += calls, state.rounds[b] += calls, state.rows[b] += calls;
    state.masked[b] = masked[a];
  }
}

}  // namespace pymdm::device
