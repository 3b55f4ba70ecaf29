#include "schedule/schedule.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"

namespace pymdm {
namespace {

constexpr double kHalfPi = 1.57079632679489661923;

class Linear : public Schedule {
 public:
  double masked(double time) const override { return time; }
  double time_of_masked(double masked) const override { return masked; }
};

// alpha = 1 - cos(pi/2 (1 - t)).
class Cosine : public Schedule {
 public:
  double masked(double time) const override { return std::sin(kHalfPi * time); }
  double time_of_masked(double masked) const override { return std::asin(masked) / kHalfPi; }
};

// exp(-s) with s = low^(1-t) high^t, shifted and scaled to alpha(0) = 1 and alpha(1) = 0.
class Geometric : public Schedule {
 public:
  Geometric(double low, double high) : low_(low), log_ratio_(std::log(high / low)), span_(-std::expm1(low - high)) {
    check(low > 0 && high > low && std::isfinite(high), "schedule", "geometric needs 0 < sigma_min < sigma_max, got ",
          low, " and ", high);
  }
  double masked(double time) const override {
    return -std::expm1(-low_ * std::expm1(log_ratio_ * time)) / span_;  // low expm1(..) = s - low
  }
  double time_of_masked(double masked) const override {
    const double time = std::log1p(-std::log1p(-masked * span_) / low_) / log_ratio_;
    return std::min(1.0, std::max(0.0, time));
  }

 private:
  double low_, log_ratio_, span_;
};

class User : public Schedule {
 public:
  User(std::function<double(double)> masked, std::function<double(double)> inverse)
      : masked_(std::move(masked)), inverse_(std::move(inverse)) {}
  double masked(double time) const override { return masked_(time); }
  double time_of_masked(double masked) const override { return inverse_(masked); }

 private:
  std::function<double(double)> masked_, inverse_;
};

}  // namespace

std::unique_ptr<Schedule> linear_schedule() { return std::make_unique<Linear>(); }
std::unique_ptr<Schedule> cosine_schedule() { return std::make_unique<Cosine>(); }
std::unique_ptr<Schedule> geometric_schedule(double sigma_min, double sigma_max) {
  return std::make_unique<Geometric>(sigma_min, sigma_max);
}
std::unique_ptr<Schedule> user_schedule(std::function<double(double)> masked,
                                        std::function<double(double)> time_of_masked) {
  return std::make_unique<User>(std::move(masked), std::move(time_of_masked));
}

}  // namespace pymdm
