// Runs the first-hitting sampler whole on a device: plan, forward, choose and write are queued without waiting, with
// shapes and addresses that never change, so that a call can be recorded as a graph and replayed.
#pragma once

#include <memory>
#include <vector>

#include "device/network.h"
#include "sample/first_hitting_step.h"
#include "sample/state.h"
#include "schedule/schedule.h"

namespace pymdm::device {

class FirstHittingStep {
 public:
  // For sequences of these lengths, ascending, `per_call` tokens a call. Starts with all of them ended, so that step()
  // can be tried and recorded before there is anything to do.
  FirstHittingStep(std::shared_ptr<Network> network, const std::vector<int64_t>& lengths, int64_t per_call,
                   double temperature, int64_t mask_id);

  // Takes over sequences of a state, whose lengths are those of this step; waits. `banned` has V entries.
  void load(const sample::State& state, const std::vector<int64_t>& sequences, const std::vector<uint8_t>& banned);
  // One network call: queued on the device's current stream.
  void step();
  // Brings the sequences back into the state that load() read; waits. Throws Error where a row could not be drawn from.
  void store(sample::State& state, const Schedule& schedule) const;

 private:
  std::shared_ptr<Network> network_;
  std::vector<int64_t> lengths_, sequences_;
  Inputs in_;
  Workspace workspace_;
  at::Tensor seed_, offsets_, sequence_, rank_, hit_, masked_, counts_;  // counts_: [5, A] see step.cpp
  at::Tensor row_, source_, row_sequence_, row_event_, row_masked_, valid_, token_, banned_, scratch_;
  sample::StepState state_;
  ops::ChooseArgs choose_;
};

}  // namespace pymdm::device
