#include "schedule/schedule.h"

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

// 1 - cos(x) = 2 sin^2(x/2): keeps digits near t = 0.
class Cosine : public Schedule {
 public:
  double masked(double time) const override {
    const double s = std::sin(kHalfPi * time / 2);
    return 2 * s * s;
  }
  double time_of_masked(double masked) const override { return 2 / kHalfPi * std::asin(std::sqrt(masked / 2)); }
};

// alpha = exp(-sigma), sigma(t) = sigma_min^(1-t) sigma_max^t, shifted and scaled so that m(0) = 0 and m(1) = 1.
class Geometric : public Schedule {
 public:
  Geometric(double sigma_min, double sigma_max) : low_(sigma_min), log_ratio_(std::log(sigma_max / sigma_min)) {
    check(sigma_min > 0 && sigma_max > sigma_min && std::isfinite(sigma_max), "schedule",
          "geometric needs 0 < sigma_min < sigma_max, got ", sigma_min, " and ", sigma_max);
    first_ = -std::expm1(-sigma_min);
    span_ = -std::expm1(-sigma_max) - first_;
  }
  double masked(double time) const override {
    // exp(-sigma_min) (1 - exp(-(sigma - sigma_min))) / span
    const double above = low_ * std::expm1(log_ratio_ * time);
    return std::exp(-low_) * -std::expm1(-above) / span_;
  }
  double time_of_masked(double masked) const override {
    const double above = -std::log1p(-masked * span_ * std::exp(low_));
    return std::log1p(above / low_) / log_ratio_;
  }

 private:
  double low_, log_ratio_, first_ = 0, span_ = 1;
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
