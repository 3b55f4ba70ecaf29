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

// alpha = exp(-s), s = low^(1-t) high^t: alpha is near but not equal to 1 and 0 at the ends, where times are clipped.
class Geometric : public Schedule {
 public:
  Geometric(double low, double high) : low_(low), high_(high) {
    check(low > 0 && high > low && std::isfinite(high), "schedule", "geometric needs 0 < sigma_min < sigma_max, got ",
          low, " and ", high);
  }
  double masked(double time) const override { return -std::expm1(-std::pow(low_, 1 - time) * std::pow(high_, time)); }
  double time_of_masked(double masked) const override {
    const double time = std::log(-std::log1p(-masked) / low_) / std::log(high_ / low_);
    return std::min(1.0, std::max(0.0, time));
  }

 private:
  double low_, high_;
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
