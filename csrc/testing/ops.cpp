// Binds the engine's operators one by one: tensors in, the operator on buffers laid out as the engine's, a tensor out.
// Every buffer is NaN before the operator runs, the rows behind the last included.
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include <limits>
#include <numeric>
#include <optional>

#include "binding/tensor.h"
#include "ops/attention.h"
#include "ops/gather.h"
#include "ops/mlp.h"
#include "ops/norm.h"
#include "testing/bind.h"

namespace py = pybind11;

namespace pymdm::testing {
namespace {

using namespace binding;
using Maybe = std::optional<at::Tensor>;
constexpr const char* kOp = "ops";

// A contiguous floating-point tensor on the cpu of these sizes, each at least 1; -1 is any.
at::Tensor sized(const char* name, const at::Tensor& t, const std::vector<int64_t>& sizes) {
  bool good = t.defined() && t.is_cpu() && t.layout() == at::kStrided && t.is_floating_point() &&
              t.dim() == static_cast<int64_t>(sizes.size());
  for (size_t i = 0; good && i < sizes.size(); ++i) good = t.size(i) >= 1 && (sizes[i] < 0 || t.size(i) == sizes[i]);
  check(good, kOp, name, " must be floating-point ", at::IntArrayRef(sizes), " on cpu, got ",
        t.defined() ? shape_of(t) : "none");
  logits_dtype(kOp, t);
  return t.contiguous();
}
Maybe sized(const char* name, const Maybe& t, const std::vector<int64_t>& sizes) {
  return t ? Maybe(sized(name, *t, sizes)) : t;
}

// [n] int64 indices of rows, each in [0, rows).
at::Tensor indices(const char* name, const at::Tensor& t, int64_t rows) {
  const at::Tensor ids = cpu_tensor(kOp, name, t, at::kLong, 1);
  check(ids.numel() > 0, kOp, name, " must not be empty");
  for (const int64_t id : vector_of<int64_t>(ids))
    check(id >= 0 && id < rows, kOp, name, " must be in [0, ", rows, "), got ", id);
  return ids;
}

// Rows of `width` elements, 64 bytes further apart than that, with kRowPadding rows more than counted.
struct Rows {
  at::Tensor memory;
  ops::Matrix matrix;
  int64_t width;

  Rows(int64_t count, int64_t width, at::ScalarType type) : width(width) {
    const int64_t stride = (width + 31) / 32 * 32 + 32;
    memory = at::full({count + ops::kRowPadding, stride}, std::numeric_limits<double>::quiet_NaN(), type);
    matrix = {memory.data_ptr(), stride, type == at::kFloat ? DType::kFloat32 : DType::kBFloat16};
  }
  Rows(const at::Tensor& x, at::ScalarType type) : Rows(x.size(0), x.size(1), type) {
    view(x.size(0)).copy_(x);
    if (width % 2) memory.narrow(1, width, 1).zero_();  // what linear() asks of odd widths
  }
  at::Tensor view(int64_t count) const { return memory.narrow(0, 0, count).narrow(1, 0, width); }
};

ops::Parameter parameter(const at::Tensor& t) {
  return {t.data_ptr(), logits_dtype(kOp, t), t.size(0), t.dim() > 1 ? t.size(1) : 1};
}

at::ScalarType scalar_type(bool bfloat16) { return bfloat16 ? at::kBFloat16 : at::kFloat; }
DType type_of(bool bfloat16) { return bfloat16 ? DType::kBFloat16 : DType::kFloat32; }

std::vector<float> floats(const Maybe& t) { return t ? vector_of<float>(t->to(at::kFloat)) : std::vector<float>(); }

// A vector of `rows` for each of m rows: which of them.
std::vector<int32_t> owners(const Maybe& sequence, int64_t m, int64_t rows) {
  check(sequence.has_value(), kOp, "gates and scales need the sequence of each row");
  const std::vector<int64_t> ids = vector_of<int64_t>(indices("sequence", *sequence, rows));
  check(static_cast<int64_t>(ids.size()) == m, kOp, "expected the sequence of ", m, " rows, got ", ids.size());
  return std::vector<int32_t>(ids.begin(), ids.end());
}

ops::Packed packed(const at::Tensor& weight, const Maybe& bias, bool bfloat16, ops::PackPlan plan = {}) {
  if (plan.out == 0) plan.out = weight.size(0);
  const ops::Parameter w = parameter(weight), b = bias ? parameter(*bias) : ops::Parameter{};
  return ops::pack(kOp, w, bias ? &b : nullptr, type_of(bfloat16), plan);
}

at::Tensor linear(const at::Tensor& x_in, const at::Tensor& weight_in, const Maybe& bias_in, bool bfloat16) {
  const at::Tensor x = sized("x", x_in, {-1, -1}), weight = sized("weight", weight_in, {-1, x.size(1)});
  const Maybe bias = sized("bias", bias_in, {weight.size(0)});
  const Rows in(x, scalar_type(bfloat16));
  const Rows out(x.size(0), weight.size(0), at::kFloat);
  ops::linear(packed(weight, bias, bfloat16), in.matrix, x.size(0), out.matrix);
  return out.view(x.size(0)).clone();
}

at::Tensor linear_residual(const at::Tensor& x_in, const at::Tensor& weight_in, const Maybe& bias_in,
                           const at::Tensor& residual, const Maybe& gate_in, const Maybe& sequence, bool bfloat16) {
  const at::Tensor x = sized("x", x_in, {-1, -1}), weight = sized("weight", weight_in, {-1, x.size(1)});
  const Maybe bias = sized("bias", bias_in, {weight.size(0)}), gate = sized("gate", gate_in, {-1, weight.size(0)});
  const Rows in(x, scalar_type(bfloat16)), out(sized("residual", residual, {x.size(0), weight.size(0)}), at::kFloat);
  const std::vector<float> gates = floats(gate);
  const std::vector<int32_t> rows = gate ? owners(sequence, x.size(0), gate->size(0)) : std::vector<int32_t>();
  const ops::Gates g = gate ? ops::Gates{gates.data(), gate->size(1), rows.data()} : ops::Gates{};
  ops::linear_residual(packed(weight, bias, bfloat16), in.matrix, x.size(0), g, out.matrix);
  return out.view(x.size(0)).clone();
}

at::Tensor norm(const at::Tensor& x_in, const at::Tensor& weight, const Maybe& bias, bool centred, double eps,
                const Maybe& shift_in, const Maybe& scale_in, const Maybe& sequence, bool bfloat16) {
  const at::Tensor x = sized("x", x_in, {-1, -1});
  const int64_t m = x.size(0), width = x.size(1);
  const Maybe scale = sized("scale", scale_in, {-1, width});
  check(scale.has_value() == shift_in.has_value(), kOp, "shift and scale go together");
  const Maybe shift = scale ? sized("shift", shift_in, {scale->size(0), width}) : Maybe();
  const Rows in(x, at::kFloat), out(m, width, scalar_type(bfloat16));
  const std::vector<float> shifts = floats(shift), scales = floats(scale);
  const std::vector<int32_t> rows = scale ? owners(sequence, m, scale->size(0)) : std::vector<int32_t>();
  const ops::Norm n{centred, static_cast<float>(eps), floats(sized("weight", weight, {width})),
                    floats(sized("bias", bias, {width}))};
  const ops::Modulation modulation =
      scale ? ops::Modulation{shifts.data(), scales.data(), width, rows.data()} : ops::Modulation{};
  ops::norm(n, modulation, in.matrix, m, out.matrix);
  return out.view(m).to(at::kFloat);
}

at::Tensor mlp(const at::Tensor& x_in, const at::Tensor& in_weight_in, const Maybe& in_bias_in,
               const at::Tensor& out_weight_in, const Maybe& out_bias_in, const at::Tensor& residual, bool gated,
               bool bfloat16, bool erf) {
  const at::Tensor x = sized("x", x_in, {-1, -1}), out_weight = sized("out_weight", out_weight_in, {-1, -1});
  const int64_t m = x.size(0), width = out_weight.size(1) * (gated ? 2 : 1);
  const at::Tensor in_weight = sized("in_weight", in_weight_in, {width, x.size(1)});
  const Maybe in_bias = sized("in_bias", in_bias_in, {width});
  const Maybe out_bias = sized("out_bias", out_bias_in, {out_weight.size(0)});
  const ops::Parameter w1 = parameter(in_weight), w2 = parameter(out_weight);
  const ops::Parameter b1 = in_bias ? parameter(*in_bias) : ops::Parameter{};
  const ops::Parameter b2 = out_bias ? parameter(*out_bias) : ops::Parameter{};
  ops::Mlp layer =
      ops::pack_mlp(kOp, gated, w1, in_bias ? &b1 : nullptr, w2, out_bias ? &b2 : nullptr, type_of(bfloat16), nullptr);
  layer.erf = erf;
  const Rows in(x, scalar_type(bfloat16)), out(sized("residual", residual, {m, out_weight.size(0)}), at::kFloat);
  const Rows hidden(ops::mlp_chunk(m), layer.hidden(), scalar_type(bfloat16));
  ops::mlp_residual(layer, in.matrix, m, {}, hidden.matrix, out.matrix);
  return out.view(m).clone();
}

at::Tensor gather(const at::Tensor& x_in, const at::Tensor& ids_in) {
  const at::Tensor x = sized("x", x_in, {-1, -1}), ids = indices("ids", ids_in, x.size(0));
  check(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16, kOp, "x must be float32 or bfloat16, got ",
        shape_of(x));
  const Rows in(x, x.scalar_type()), out(ids.size(0), x.size(1), x.scalar_type());
  ops::gather(in.matrix, span_of<int64_t>(ids), x.size(1), out.matrix);
  return out.view(ids.size(0)).clone();
}

at::Tensor embed(const at::Tensor& table_in, const at::Tensor& ids_in) {
  const at::Tensor table = sized("table", table_in, {-1, -1}), ids = indices("ids", ids_in, table.size(0));
  const Rows out(ids.size(0), table.size(1), at::kFloat);
  ops::embed(parameter(table), span_of<int64_t>(ids), out.matrix);
  return out.view(ids.size(0)).clone();
}

// q [T, H, hd], k and v [T, G, hd] before rotary; sequences of the given lengths. The projections are identities.
// q_norm and k_norm are weights of RMS norms (eps 1e-5) of each head, [hd], or of all heads, [H hd] and [G hd].
at::Tensor attention(const at::Tensor& q_in, const at::Tensor& k_in, const at::Tensor& v_in,
                     const std::vector<int64_t>& lengths, bool causal, double base, bool bfloat16, int64_t window,
                     const Maybe& q_norm, const Maybe& k_norm) {
  const at::ScalarType type = scalar_type(bfloat16);
  const at::Tensor q = sized("q", q_in, {-1, -1, -1}), k = sized("k", k_in, {q.size(0), -1, q.size(2)});
  const at::Tensor v = sized("v", v_in, {q.size(0), k.size(1), q.size(2)});
  const int64_t T = q.size(0), H = q.size(1), G = k.size(1), hd = q.size(2);
  check(H % G == 0 && hd % 2 == 0 && base > 0, kOp, "expected heads in whole groups, an even width and a base above 0");
  int64_t left = T;
  for (const int64_t length : lengths) {
    check(length >= 1 && length <= left, kOp, "lengths must be at least 1 and sum to ", T, ", got ", length);
    left -= length;
  }
  check(left == 0, kOp, "lengths must sum to ", T, ", got ", T - left);
  std::vector<int32_t> position;
  std::vector<int64_t> slot, slot_end;
  std::vector<ops::QuerySpan> spans;
  std::vector<ops::Sight> sights;
  int64_t slots = 0, first = 0, longest = 0;
  for (const int64_t length : lengths) {
    for (int64_t l = 0; l < length; ++l) {
      position.push_back(static_cast<int32_t>(l)), slot.push_back(slots + l);
      sights.push_back({causal ? l + 1 : length, 0, 0});
    }
    spans.push_back({first, first + length, slots, length});
    slot_end.push_back(slots + length);
    first += length, longest = std::max(longest, length);
    slots += (length + ops::kKeyPanel - 1) / ops::kKeyPanel * ops::kKeyPanel;
  }
  ops::KeyValues kv;
  kv.dtype = type_of(bfloat16);
  kv.shape = {H, G, hd};
  kv.slots = slots;
  kv.value_width = ops::KeyValues::value_columns(hd);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor keys = at::full({G * slots * hd + 64}, nan, type),
                   values = at::full({G * slots * kv.value_width + 64}, nan, type);
  kv.keys = static_cast<char*>(keys.data_ptr());
  kv.values = static_cast<char*>(values.data_ptr());

  const auto identity = [&](int64_t heads) {  // panels hold whole heads
    const int64_t per_panel = std::min(heads, std::max<int64_t>(1, ops::panel_columns(kv.dtype) / hd));
    ops::PackPlan plan;
    plan.panel = (per_panel * hd + 15) / 16 * 16;
    plan.out = (heads + per_panel - 1) / per_panel * plan.panel;
    plan.source = [=](int64_t n) {
      const int64_t head = n / plan.panel * per_panel + n % plan.panel / hd;
      return n % plan.panel >= per_panel * hd || head >= heads ? -1 : head * hd + n % plan.panel % hd;
    };
    return packed(at::eye(heads * hd), {}, bfloat16, plan);
  };
  const ops::Rotary rotary = ops::rotary(longest, hd, base);
  const ops::Places places{position.data(), slot.data()};
  ops::clear_padding(kv, {slot_end.data(), static_cast<int64_t>(slot_end.size())});
  const Rows x(at::cat({k, v}, 1).flatten(1), type), xq(q.flatten(1), type), rotated(T, H * hd, type);
  const ops::Norm qn{false, 1e-5f, floats(q_norm), {}}, kn{false, 1e-5f, floats(k_norm), {}};
  const Rows normed(T, std::max(H, G) * hd, at::kFloat);
  check(window >= 0 && window <= int64_t{1} << 28, kOp, "window must be in [0, 2^28], got ", window);
  const auto head_norm = [&](const ops::Norm& norm, int64_t heads) {
    const auto size = static_cast<int64_t>(norm.weight.size());
    check(size == 0 || size == hd || size == heads * hd, kOp, "a norm must be of one head, [", hd,
          "], or of all, got [", size, "]");
    return size == 0 ? ops::HeadNorm{} : ops::HeadNorm{&norm, size == hd && heads > 1 ? ops::Matrix{} : normed.matrix};
  };
  ops::keys_values(identity(2 * G), x.matrix, T, rotary, places, head_norm(kn, G), kv, {});
  ops::queries(identity(H), xq.matrix, T, kv.shape, rotary, places, head_norm(qn, H), rotated.matrix);
  const Rows out(T, H * hd, type);
  ops::attention(rotated.matrix, kv, {}, {spans.data(), static_cast<int64_t>(spans.size())}, sights.data(),
                 {window, position.data()}, out.matrix);
  return out.view(T).to(at::kFloat).view({T, H, hd});
}

}  // namespace

void bind_ops(py::module_& m) {
  const py::none none;
  m.def("linear", &linear, py::arg("x"), py::arg("weight"), py::arg("bias") = none, py::arg("bfloat16") = false);
  m.def("linear_residual", &linear_residual, py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("residual"),
        py::arg("gate") = none, py::arg("sequence") = none, py::arg("bfloat16") = false);
  m.def("norm", &norm, py::arg("x"), py::arg("weight"), py::arg("bias") = none, py::arg("centred") = true,
        py::arg("eps") = 1e-5, py::arg("shift") = none, py::arg("scale") = none, py::arg("sequence") = none,
        py::arg("bfloat16") = false);
  m.def("mlp", &mlp, py::arg("x"), py::arg("in_weight"), py::arg("in_bias"), py::arg("out_weight"), py::arg("out_bias"),
        py::arg("residual"), py::arg("gated"), py::arg("bfloat16") = false, py::arg("erf") = false);
  m.def("gather", &gather, py::arg("x"), py::arg("ids"));
  m.def("embed", &embed, py::arg("table"), py::arg("ids"));
  m.def("attention", &attention, py::arg("q"), py::arg("k"), py::arg("v"), py::arg("lengths"),
        py::arg("causal") = false, py::arg("base") = 1e4, py::arg("bfloat16") = false, py::arg("window") = 0,
        py::arg("q_norm") = none, py::arg("k_norm") = none);
}

}  // namespace pymdm::testing
