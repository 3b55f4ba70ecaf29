// Finds parameters by name, checks their shapes, reports the names the model did not use. The engines of the CPU and of
// a device share it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "model/config.h"
#include "ops/linear.h"

namespace pymdm::model {

using Parameters = std::map<std::string, ops::Parameter>;

// Finds parameters by name, checks their shapes, reports the names the model did not use. Throws Error ("engine: ...").
class Reader {
 public:
  explicit Reader(const Parameters& all) : all_(all) {}

  const ops::Parameter& need(const std::string& name, int64_t rows, int64_t columns = 1);
  // Null where the layer has none.
  const ops::Parameter* bias(const std::string& layer, int64_t rows, bool wanted);
  // The parameter as float32; fails where a value is not finite.
  std::vector<float> floats(const std::string& name, int64_t rows, int64_t columns = 1);
  // After the last: fails where a parameter was not asked for.
  void finish() const;

 private:
  const Parameters& all_;
  std::set<std::string> used_;
};

void check_finite(const std::string& name, const ops::Parameter& p);

// adaLN's time network 256 -> cond -> cond, float32; and its output [cond] at time 0, where the conditioning is
// constant.
struct TimeNetwork {
  ops::Packed in, out;
};
TimeNetwork time_network(const Config& config, Reader& read);
std::vector<float> constant_condition(const TimeNetwork& network);

}  // namespace pymdm::model
