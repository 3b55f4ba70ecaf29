// Noise schedules alpha(t) are given by m(t) = 1 - alpha(t), the probability that a token is masked at time t.
// Working in m keeps digits where t is near 0. Source: Zheng et al., ICLR 2025, section 2 and Proposition 4.1.
#pragma once

#include <functional>
#include <memory>

namespace pymdm {

class Schedule {
 public:
  virtual ~Schedule() = default;
  virtual double masked(double time) const = 0;            // m(t): [0, 1] -> [0, 1], increasing
  virtual double time_of_masked(double masked) const = 0;  // its inverse
};

std::unique_ptr<Schedule> linear_schedule();  // m = t
std::unique_ptr<Schedule> cosine_schedule();  // m = sin(pi t / 2)
std::unique_ptr<Schedule> geometric_schedule(double sigma_min, double sigma_max);
std::unique_ptr<Schedule> user_schedule(std::function<double(double)> masked,
                                        std::function<double(double)> time_of_masked);

}  // namespace pymdm
