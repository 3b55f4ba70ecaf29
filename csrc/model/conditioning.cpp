#include "model/conditioning.h"

#include <cmath>

namespace pymdm::model {
namespace {

void silu(const ops::Matrix& x, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) {
    float* row = reinterpret_cast<float*>(x.row(i));
    for (int64_t j = 0; j < columns; ++j) row[j] = static_cast<float>(row[j] / (1.0 + std::exp(-double{row[j]})));
  }
}

}  // namespace

void condition(const ops::Packed& time_in, const ops::Packed& time_out, bool sigma, Span<const double> times,
               const ops::Matrix& hidden, const ops::Matrix& out) {
  constexpr int64_t kHalf = kTimeFeatures / 2;
  for (int64_t b = 0; b < times.size; ++b) {
    const double time = sigma ? -std::log1p(-(1.0 - 1e-3) * times[b]) : times[b];
    float* features = reinterpret_cast<float*>(hidden.row(b));
    for (int64_t i = 0; i < kHalf; ++i) {
      const double angle = time * std::pow(10000.0, -static_cast<double>(i) / kHalf);
      features[i] = static_cast<float>(std::cos(angle));
      features[kHalf + i] = static_cast<float>(std::sin(angle));
    }
  }
  const ops::Matrix inner{hidden.row(0, kTimeFeatures), hidden.stride, hidden.dtype};
  ops::linear(time_in, hidden, times.size, inner);
  silu(inner, times.size, time_in.out);
  ops::linear(time_out, inner, times.size, out);
  silu(out, times.size, time_out.out);
}

}  // namespace pymdm::model
