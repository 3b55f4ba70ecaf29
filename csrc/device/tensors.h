// Tensors as the kernels see them. This room stands above ATen: matrix products and attention go through its dispatch,
// so the same code runs on a CUDA device, and on the CPU where the tests walk it.
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
#include "core/types.h"
#include "ops/launch.h"

namespace pymdm::device {

// The cudaStream_t of a stream. c10::Stream tells it from torch 2.11 on; before, only the default stream's is known, 0.
template <class Stream>
auto handle_of(const Stream& stream, int) -> decltype(stream.native_handle()) {
  return stream.native_handle();
}
template <class Stream>
void* handle_of(const Stream& stream, long) {
  check(stream.id() == 0, "cuda", "streams other than the default one, and graphs, need torch 2.11 or later");
  return nullptr;
}

// The current stream of a device.
inline ops::Where where(const at::Device& device) {
  if (!device.is_cuda()) return {};
  return {device.index(), handle_of(c10::impl::getDeviceGuardImpl(device.type())->getStream(device), 0)};
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
