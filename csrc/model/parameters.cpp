#include "model/parameters.h"

#include "core/error.h"
#include "core/parallel.h"
#include "model/conditioning.h"
#include "ops/convert.h"

namespace pymdm::model {
namespace {

constexpr const char* kOp = "engine";
using ops::Parameter;

}  // namespace

const Parameter& Reader::need(const std::string& name, int64_t rows, int64_t columns) {
  const auto found = all_.find(name);
  check(found != all_.end(), kOp, "parameter ", name, " is missing");
  used_.insert(name);
  const Parameter& p = found->second;
  check(p.rows == rows && p.columns == columns, kOp, "parameter ", name, " must be [", rows,
        columns > 1 ? ", " + std::to_string(columns) : std::string(), "], got [", p.rows,
        p.columns > 1 ? ", " + std::to_string(p.columns) : std::string(), "]");
  return p;
}

const Parameter* Reader::bias(const std::string& layer, int64_t rows, bool wanted) {
  return wanted ? &need(layer + ".bias", rows) : nullptr;
}

std::vector<float> Reader::floats(const std::string& name, int64_t rows, int64_t columns) {
  const Parameter& p = need(name, rows, columns);
  check_finite(name, p);
  std::vector<float> out(p.rows * p.columns);
  for (int64_t i = 0; i < p.rows; ++i) {
    const Parameter::Row row = p.row(i);
    ops::load_row(row.data, row.dtype, 0, p.columns, 1.0, out.data() + i * p.columns);
  }
  return out;
}

void Reader::finish() const {
  for (const auto& [name, p] : all_)
    check(used_.count(name) != 0, kOp, "parameter ", name, " is not part of this network");
}

void check_finite(const std::string& name, const Parameter& p) {
  parallel_for(p.rows, 64, [&](int64_t begin, int64_t end) {
    std::vector<float> values(p.columns);
    for (int64_t i = begin; i < end; ++i) {
      const Parameter::Row row = p.row(i);
      ops::load_row(row.data, row.dtype, 0, p.columns, 1.0, values.data());
      check(ops::all_finite(values.data(), p.columns), kOp, "parameter ", name,
            " has a value that is not finite, in row ", i);
    }
  });
}

TimeNetwork time_network(const Config& c, Reader& read) {
  const auto layer = [&](const char* name, int64_t in) {
    ops::PackPlan plan;
    plan.out = c.cond_dim;
    const std::string key(name);
    const Parameter& weight = read.need(key + ".weight", c.cond_dim, in);
    return ops::pack(name, weight, read.bias(key, c.cond_dim, true), DType::kFloat32, plan);
  };
  TimeNetwork out;
  out.in = layer("time_mlp.0", kTimeFeatures);
  out.out = layer("time_mlp.2", c.cond_dim);
  return out;
}

std::vector<float> constant_condition(const TimeNetwork& network) {
  const int64_t size = network.out.out, rows = 1 + ops::kRowPadding, stride = kTimeFeatures + size;
  std::vector<float> hidden(rows * stride, 0.0f), out(rows * size, 0.0f);
  const double zero = 0.0;
  condition(network.in, network.out, false, {&zero, 1}, {hidden.data(), stride, DType::kFloat32},
            {out.data(), size, DType::kFloat32});
  out.resize(size);
  return out;
}

}  // namespace pymdm::model
