// Gives the kernels their view of tensors. csrc/device uses ATen: matrix products and attention go through its
// dispatch, so the same code runs on a CUDA device, and on the CPU in the tests.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <array>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "core/launch.h"
#include "core/types.h"

namespace pymdm::device {

// The current stream of a device (c10::Stream tells its handle from torch 2.11 on).
inline Where where(const at::Device& device) {
  if (!device.is_cuda()) return {};
  return {device.index(), c10::impl::getDeviceGuardImpl(device.type())->getStream(device).native_handle()};
}

inline at::ScalarType scalar_type(DType dtype) {
  return dtype == DType::kFloat32    ? at::kFloat
         : dtype == DType::kFloat64  ? at::kDouble
         : dtype == DType::kBFloat16 ? at::kBFloat16
                                     : at::kHalf;
}

template <class T>
T* data(const at::Tensor& t) {
  return t.defined() ? static_cast<T*>(t.data_ptr()) : nullptr;
}

inline at::Tensor empty(at::IntArrayRef sizes, at::ScalarType type, const at::Device& device) {
  return at::empty(sizes, at::TensorOptions().dtype(type).device(device));
}

// A vector's elements on a device.
template <class T>
at::Tensor upload(const std::vector<T>& v, at::ScalarType type, const at::Device& device) {
  at::Tensor host = at::empty({static_cast<int64_t>(v.size())}, at::TensorOptions().dtype(type));
  if (!v.empty()) std::memcpy(host.data_ptr(), v.data(), v.size() * sizeof(T));
  return host.to(device);
}

template <class T>
std::vector<T> download(const at::Tensor& t) {
  const at::Tensor host = t.cpu().contiguous();
  const T* from = static_cast<const T*>(host.data_ptr());
  return std::vector<T>(from, from + host.numel());
}

}  // namespace pymdm::device
