// Turns tensors into pointers after checks of shape, dtype and device. Messages start with the op's name.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/utils/pybind.h>

#include <string>

#include "core/error.h"
#include "core/types.h"

namespace pymdm::binding {

inline std::string shape_of(const at::Tensor& t) {
  std::ostringstream out;
  out << t.scalar_type() << t.sizes() << " on " << t.device();
  return out.str();
}

// A CPU tensor of `dtype`, `dims` dimensions, contiguous (copied if it is not).
inline at::Tensor cpu_tensor(const char* op, const char* name, const at::Tensor& t, at::ScalarType dtype,
                             int64_t dims) {
  check(t.defined(), op, name, " must be a tensor, got none");
  if (t.device().type() != at::kCPU || t.layout() != at::kStrided || t.scalar_type() != dtype || t.dim() != dims)
    fail(op, name, " must be ", dims, "-dimensional ", dtype, " on cpu, got ", shape_of(t));
  return t.contiguous();
}

inline DType logits_dtype(const char* op, const at::Tensor& t) {
  switch (t.scalar_type()) {
    case at::kFloat:
      return DType::kFloat32;
    case at::kBFloat16:
      return DType::kBFloat16;
    case at::kHalf:
      return DType::kFloat16;
    case at::kDouble:
      return DType::kFloat64;
    default:
      fail(op, "logits must be float32, float64, bfloat16 or float16, got ", shape_of(t));
  }
}

// Makes a tensor of a vector's elements (a copy).
template <class T>
at::Tensor tensor_of(const std::vector<T>& v, at::ScalarType dtype) {
  at::Tensor out = at::empty({static_cast<int64_t>(v.size())}, dtype);
  if (!v.empty()) std::memcpy(out.data_ptr(), v.data(), v.size() * sizeof(T));
  return out;
}

template <class T>
Span<const T> span_of(const at::Tensor& t) {
  return {static_cast<const T*>(t.data_ptr()), t.numel()};
}

template <class T>
std::vector<T> vector_of(const at::Tensor& t) {
  const T* data = static_cast<const T*>(t.data_ptr());
  return std::vector<T>(data, data + t.numel());
}

}  // namespace pymdm::binding
